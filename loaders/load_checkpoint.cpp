#include <algorithm>
#include <array>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/json_file.hpp"
#include "loaders/model_weights.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Fields of transformers' configuration classes that change no number of a forward pass in evaluation mode.
constexpr std::array kHarmless{"architectures",
                               "model_type",
                               "torch_dtype",
                               "dtype",
                               "transformers_version",
                               "use_cache",
                               "initializer_range",
                               "return_dict",
                               "output_attentions",
                               "output_hidden_states",
                               "chunk_size_feed_forward",
                               "is_encoder_decoder",
                               "id2label",
                               "label2id",
                               "problem_type",
                               "task_specific_params",
                               "pad_token_id",
                               "sep_token_id",
                               "cls_token_id",
                               "decoder_start_token_id",
                               "tokenizer_class",
                               "torchscript",
                               "auto_map",
                               "gradient_checkpointing",
                               "init_std",
                               "finetuning_task",
                               "prefix",
                               "attention_softmax_in_fp32",
                               "scale_attention_softmax_in_fp32",
                               "bos_token_id",
                               "eos_token_id",
                               "tie_word_embeddings",
                               "is_decoder",
                               "max_length",
                               "min_length",
                               "num_return_sequences"};

/// Dropouts do nothing in evaluation; names with a leading underscore are notes; summary_* belongs to classification heads.
bool is_harmless(std::string_view key) {
  return std::ranges::find(kHarmless, key) != kHarmless.end() || key.starts_with('_') || key.starts_with("summary_") ||
         key.find("dropout") != std::string_view::npos || key.ends_with("_pdrop") || key == "layerdrop";
}

/// An unknown field that is null, false, "" or an empty list switches nothing on.
bool is_off(const nlohmann::json& value) {
  return value.is_null() || value == false || value == "" || (value.is_structured() && value.empty());
}

void refuse_unread(const JsonFields& fields, std::string_view family) {
  for (const std::string& key : fields.unread()) {
    if (is_harmless(key) || is_off(fields.at(key))) continue;
    fail(ErrorCode::config_unsupported, fields.location(key), ": the family ", family,
         " is not known to have this field, and it may change the numbers");
  }
}

const Family& find_family(const JsonFields& fields, const std::filesystem::path& file) {
  const std::string model_type = fields.text("model_type");
  for (const Family* family : families()) {
    if (family->model_type == model_type) return *family;
  }
  std::string known;
  for (const std::string& name : supported_families()) known.append(known.empty() ? "" : ", ").append(name);
  fail(ErrorCode::family_unknown, file.string(), ": model_type: \"", model_type, "\" is not supported; supported are ", known);
}

}  // namespace

std::vector<std::string> supported_families() {
  std::vector<std::string> names;
  for (const Family* family : families()) names.emplace_back(family->model_type);
  return names;
}

LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  const nlohmann::json json = read_json_file(file);
  const JsonFields fields(json, file);
  const Family& family = find_family(fields, file);

  LoadedCheckpoint loaded;
  loaded.config = family.read_config(fields);
  loaded.config.family = family.model_type;
  read_special_tokens(fields, loaded.config);
  refuse_unread(fields, family.model_type);

  auto checkpoint = std::make_shared<const Checkpoint>(folder);
  loaded.weights.checkpoint = checkpoint;
  family.map_weights(*checkpoint, loaded.config, fields, loaded.weights);
  return loaded;
}

}  // namespace ffmem
