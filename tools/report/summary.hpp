// Chooses what the report shows: counts over every memory of a layer, and the layer's most telling memories.
#pragma once

#include <cstddef>

#include "tools/report/page.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {

struct SummaryOptions {
  std::size_t memories = 4;  // shown of each layer
  std::size_t examples = 8;  // shown of each memory
};

/// A memory with fewer examples has none to be alike: such ones are not shown and are left out of the mean of how alike a key's
/// examples are. Of a store with fewer examples a key, that many.
inline constexpr std::size_t kLeastExamples = 10;
std::size_t least_examples(const TriggerStore& store);

/// Half of the memories shown are those whose value's top token most often follows their examples, the others those whose
/// examples most often end in one token; no two with the same trigger token, all with least_examples. Ties: smaller unit.
/// Store and values are of one model (layer in both).
PageLayer summarise_layer(const TriggerStore& store, const ValueTable& values, std::size_t layer,
                          const SummaryOptions& options);

}  // namespace ffmem::tools
