// What a key's coefficient is at every token of its trigger examples' sentences: the model is run over those sentences again.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/model.hpp"
#include "tools/export/selection.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {

struct KeyActivations {
  std::size_t layer = 0;
  std::size_t unit = 0;
  std::vector<TriggerStore::Example> examples;       // best first
  std::vector<std::span<const float>> coefficients;  // of each example: one for each own token of its sentence
};

/// Calls use(key) for every selected key, layer by layer, units ascending; the views live during the call. Keys are taken
/// together as long as their coefficients fit 128 MiB, and each such group runs each of its sentences once, to the last layer
/// that it needs. done(keys so far, of which a group being run counts in part) may throw. Throws what running throws;
/// argument_invalid if the model is of another size than the store's.
void for_each_key_activations(const std::shared_ptr<const Model>& model, const TriggerStore& store,
                              const ExportSelection& selection, const std::function<void(double)>& done,
                              const std::function<void(const KeyActivations&)>& use);

}  // namespace ffmem::tools
