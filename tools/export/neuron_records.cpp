#include "tools/export/neuron_records.hpp"

#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "tools/export/example_activations.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kFeaturesOfBatch = 128;

std::vector<std::string_view> token_texts(const TriggerStore& store, std::span<const TokenId> tokens) {
  std::vector<std::string_view> texts;
  for (const TokenId token : tokens) texts.push_back(store.token_bytes(token));
  return texts;
}

std::string openai_record(const TriggerStore& store, const KeyActivations& key) {
  std::vector<Json> records;
  for (std::size_t i = 0; i < key.examples.size(); ++i) {
    records.push_back(JsonObject()
                          .add("dataclass_name", "ActivationRecord")
                          .add("tokens", token_texts(store, key.examples[i].tokens))
                          .add("activations", key.coefficients[i])
                          .json());
  }
  const Json id =
      JsonObject().add("dataclass_name", "NeuronId").add("layer_index", key.layer).add("neuron_index", key.unit).json();
  return JsonObject()
      .add("dataclass_name", "NeuronRecord")
      .add("neuron_id", id)
      .add("random_sample", std::vector<Json>())
      .add("most_positive_activation_records", records)
      .line();
}

void write_one(const std::filesystem::path& path, std::string_view text) {
  throw_if_interrupted();  // each file is synced, which takes its time
  make_folder(path.parent_path());
  write_file(path, text);
}

const std::optional<float> kUnknown;

Json feature(const TriggerStore& store, const KeyActivations& key, const Json& top_logits) {
  std::vector<Json> activations;
  for (std::size_t i = 0; i < key.examples.size(); ++i) {
    activations.push_back(JsonObject()
                              .add("tokens", token_texts(store, key.examples[i].tokens))
                              .add("values", key.coefficients[i])
                              .add("quantileMax", kUnknown)
                              .add("quantileMin", kUnknown)
                              .add("quantileFraction", kUnknown)
                              .json());
  }
  return JsonObject()
      .add("index", key.unit)
      .add("density", kUnknown)
      .add("activations", activations)
      .add("explanations", std::vector<Json>())
      .add("topLogits", top_logits)
      .add("bottomLogits", kUnknown)
      .json();
}

Json top_logits(const TriggerStore& store, const ValueTable* values, std::size_t layer, std::size_t unit) {
  if (values == nullptr) return {"null"};
  const std::size_t first = ((layer - values->first_layer) * values->d_memory + unit) * values->k;
  std::vector<Json> logits;
  for (std::size_t i = first; i < first + values->k; ++i) {
    if (!(values->probabilities[i] > 0.0F)) continue;  // too small for a float32, and so without a logarithm
    logits.push_back(JsonObject()
                         .add("token", text_or_number(store.token_bytes(values->tokens[i]), values->tokens[i]))
                         .add("value", std::log(values->probabilities[i]))
                         .json());
  }
  return to_json(logits);
}

void check_values(const ValueTable& values, const TriggerStore& store, const ExportSelection& selection) {
  if (values.d_memory == store.d_memory() && values.first_layer <= selection.layers.begin &&
      selection.layers.end <= values.first_layer + values.n_layers) {
    return;
  }
  fail(ErrorCode::argument_invalid, "--values: expected layers ", selection.layers.begin, " to ", selection.layers.end - 1,
       " of ", store.d_memory(), " values, found layers ", values.first_layer, " to ", values.first_layer + values.n_layers - 1,
       " of ", values.d_memory);
}

}  // namespace

void export_openai(const std::shared_ptr<const Model>& model, const TriggerStore& store, const ExportSelection& selection,
                   const std::filesystem::path& out, const std::function<void(double)>& done) {
  if (out.extension() == ".jsonl") {
    AtomicFile file(out);
    for_each_key_activations(model, store, selection, done,
                             [&](const KeyActivations& key) { file.write(openai_record(store, key)); });
    file.commit();
    return;
  }
  for_each_key_activations(model, store, selection, done, [&](const KeyActivations& key) {
    write_one(out / "neurons" / std::to_string(key.layer) / (std::to_string(key.unit) + ".json"), openai_record(store, key));
  });
}

void export_neuronpedia(const std::shared_ptr<const Model>& model, const TriggerStore& store, const ExportSelection& selection,
                        const ValueTable* values, const NeuronpediaNames& names, const std::filesystem::path& out,
                        const std::function<void(double)>& done) {
  if (values != nullptr) check_values(*values, store, selection);
  AtomicFile file(out);
  std::vector<Json> features;
  for_each_key_activations(model, store, selection, done, [&](const KeyActivations& key) {
    features.push_back(feature(store, key, top_logits(store, values, key.layer, key.unit)));
    if (features.size() < kFeaturesOfBatch && key.unit + 1 < selection.units.end) return;
    file.write(JsonObject()
                   .add("modelId", names.model)
                   .add("source", concat(key.layer, '-', names.source_set))
                   .add("features", features)
                   .line());
    features.clear();
  });
  file.commit();
}

}  // namespace ffmem::tools
