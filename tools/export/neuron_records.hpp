// Memories in the forms that tools for explaining neurons read: every example as the tokens of its sentence with the key's
// coefficient at each.
//
// OpenAI: the NeuronRecord of github.com/openai/automated-interpretability, neuron_explainer/activations/activations.py, as its
// fast_dataclasses.loads reads it:
//   {"dataclass_name": "NeuronRecord", "neuron_id": {"dataclass_name": "NeuronId", "layer_index": 3, "neuron_index": 17},
//    "random_sample": [], "most_positive_activation_records": [
//      {"dataclass_name": "ActivationRecord", "tokens": ["The", " cat"], "activations": [0.0, 3.1]}, ...]}
// Neuronpedia: what the `neuronpedia` Python package 1.2 (requests/feature_request.py, upload_batch) sends to
// https://neuronpedia.org/api/feature/upload-batch, at most 128 features of one layer a line:
//   {"modelId": "gpt2-small", "source": "3-ffmem", "features": [{"index": 17, "density": null, "activations": [
//    {"tokens": [...], "values": [...], "quantileMax": null, "quantileMin": null, "quantileFraction": null}], "explanations":
//    [], "topLogits": [{"token": " dog", "value": -1.2}], "bottomLogits": null}]}
// Tokens are the bytes they add to a text; a byte that is no whole character becomes U+FFFD.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "runtime/model.hpp"
#include "tools/export/selection.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {

/// OUT.jsonl: a record a line. Any other OUT is a folder, with neurons/LAYER/UNIT.json in it, as the authors' loader wants it.
/// Each file is written whole or not at all. done(keys so far) may throw. Throws file_unwritable and what
/// for_each_key_activations throws.
void export_openai(const std::shared_ptr<const Model>& model, const TriggerStore& store, const ExportSelection& selection,
                   const std::filesystem::path& out, const std::function<void(double)>& done);

struct NeuronpediaNames {
  std::string model;       // Neuronpedia's id of the model
  std::string source_set;  // layer 3's source is "3-SOURCE_SET"
};

/// `values` may be null; with it topLogits are each value's best tokens with their log-probabilities (its logits less a number
/// that is the same for all), but for those of probability 0. Written and thrown as above; argument_invalid for a value table
/// that lacks a selected layer.
void export_neuronpedia(const std::shared_ptr<const Model>& model, const TriggerStore& store, const ExportSelection& selection,
                        const ValueTable* values, const NeuronpediaNames& names, const std::filesystem::path& out,
                        const std::function<void(double)>& done);

}  // namespace ffmem::tools
