// A page for every memory of the model, without a server: one viewer, and data files that it loads as scripts (which browsers
// allow from disk, unlike fetch).
//
//   index.html        the viewer: #m/LAYER/UNIT shows a memory, #t/WORD the memories that promote a word or fire on it
//   block-N.js        the memories N * per_block .. , numbered layer * d_m + unit
//   vocabulary.js     the tokens that some memory promotes or fires on
//   postings-N.js     for tokens whose id modulo kPostingFiles is N: those memories
#pragma once

#include <filesystem>

#include "tools/experiments/coefficient_histogram.hpp"
#include "tools/experiments/nearest_values.hpp"
#include "tools/report/page.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {

struct MemorySources {
  const TriggerStore& triggers;
  const ValueTable& values;               // of all layers; negated for a search for the smallest coefficients
  const NearestValues& nearest;           // k may be 0
  const CoefficientHistogram& histogram;  // counts may be empty
  std::string model_name;
  Facts about;                  // how the pages were made
  std::size_t n_examples = 25;  // shown of each memory at most
};

inline constexpr std::size_t kPostingFiles = 32;

/// Memories in one data file: 128, or more where that would make more than 256 files.
std::size_t memories_per_block(std::size_t n_memories) noexcept;

/// Writes the folder; pages that are there of another model go. Throws file_unwritable, store_invalid, interrupted.
void write_memory_pages(const std::filesystem::path& folder, const MemorySources& sources);

}  // namespace ffmem::tools
