#include "loaders/load_checkpoint.hpp"

#include <algorithm>
#include <array>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/json_file.hpp"
#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Far more than any model's configuration has; a parsed file takes tens of times its bytes.
constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 24;

/// Fields of transformers' configuration classes that change no number of a forward pass in evaluation mode, by what they are
/// about.
constexpr auto kHarmless = std::to_array<std::string_view>(
    {// The file and its loading.
     "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "auto_map", "tokenizer_class",
     "torchscript", "use_bfloat16", "tf_legacy_loss", "transformers.js_config", "finetuning_task", "task_specific_params",
     "problem_type", "id2label", "label2id", "num_labels", "n_special", "predict_special_tokens", "prefix", "name_or_path",
     "custom_pipelines", "unsloth_version", "unsloth_fixed",
     // Read elsewhere, or with the weights.
     "bos_token_id", "eos_token_id", "tie_word_embeddings",
     // Token ids that only padding, masks and other tasks use.
     "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id",
     // Training.
     "initializer_range", "init_std", "gradient_checkpointing", "layerdrop",
     // What a call returns, and how it is computed.
     "use_cache", "cache_implementation", "return_dict", "output_attentions", "output_hidden_states", "output_past",
     "chunk_size_feed_forward", "is_encoder_decoder", "is_decoder", "tie_encoder_decoder", "attention_softmax_in_fp32",
     "scale_attention_softmax_in_fp32", "attn_implementation",
     // Generation settings that older versions wrote here.
     "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
     "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
     "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate",
     "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
     "suppress_tokens", "begin_suppress_tokens"});

/// Dropouts do nothing in evaluation; names with a leading underscore are notes; summary_* belongs to classification heads.
bool is_harmless(std::string_view key) {
  return std::ranges::find(kHarmless, key) != kHarmless.end() || key.starts_with('_') || key.starts_with("summary_") ||
         key.find("dropout") != std::string_view::npos || key.ends_with("_pdrop");
}

/// An unknown field that is null, false, "" or an empty list is taken to switch nothing on. Fields that are on where they are
/// absent have to be read.
bool is_off(const nlohmann::json& value) {
  return value.is_null() || value == false || value == "" || (value.is_structured() && value.empty());
}

void refuse_unread(const JsonFields& fields, std::string_view family) {
  for (const std::string& key : fields.unread()) {
    if (is_harmless(key) || is_off(fields.at(key))) continue;
    fail(ErrorCode::config_unsupported, fields.location(key), ": the family ", family,
         " is not known to have this field, and it may change the numbers (where it does not, take it out of the file)");
  }
}

/// fairseq's own arguments carry no model_type.
bool is_fairseq(const JsonFields& fields) {
  return !fields.has("model_type") && (fields.has("_not_fairseq_args") || fields.has("decoder_embed_dim"));
}

const Family& find_family(const JsonFields& fields, const std::filesystem::path& file) {
  if (is_fairseq(fields)) return kFairseq;
  const std::string model_type = fields.text("model_type");
  for (const Family* family : families()) {
    if (family->model_type == model_type) return *family;
  }
  std::string known;
  for (const std::string& name : supported_families()) known.append(known.empty() ? "" : ", ").append(name);
  fail(ErrorCode::family_unknown, file.string(), ": model_type: \"", shown_text(model_type),
       "\" is not supported; supported are ", known);
}

ModelConfig read_config(const Family& family, const JsonFields& fields) {
  ModelConfig config = family.read_config(fields);
  config.family = family.model_type;
  if (!(config.norm_epsilon >= 0.0F && config.norm_epsilon < 1.0F)) {
    fail(ErrorCode::config_invalid, fields.location("the norms' epsilon"), ": expected a number from 0 and below 1, found ",
         config.norm_epsilon);
  }
  refuse_unless(fields, "is_causal", true, /*if_null=*/false);  // off, every position would see those behind it
  read_special_tokens(fields, config);
  refuse_unread(fields, family.model_type);
  return config;
}

/// The end tokens that generation_config.json, where it is there, sets in place of config.json's.
void read_generation_config(const std::filesystem::path& file, ModelConfig& config) {
  if (!may_exist(file)) return;
  const nlohmann::json json = read_json_file(file, kMaxConfigBytes);
  read_generation_end(JsonFields(json, file), config);
}

}  // namespace

std::vector<std::string> supported_families() {
  std::vector<std::string> names;
  for (const Family* family : families()) names.emplace_back(family->model_type);
  return names;
}

ModelConfig load_config(const std::filesystem::path& config_file) {
  const nlohmann::json json = read_json_file(config_file, kMaxConfigBytes);
  const JsonFields fields(json, config_file);
  return read_config(find_family(fields, config_file), fields);
}

LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  const nlohmann::json json = read_json_file(file, kMaxConfigBytes);
  const JsonFields fields(json, file);
  const Family& family = find_family(fields, file);

  LoadedCheckpoint loaded;
  loaded.config = read_config(family, fields);
  read_generation_config(folder / "generation_config.json", loaded.config);
  auto checkpoint = std::make_shared<const Checkpoint>(folder);
  loaded.weights.checkpoint = checkpoint;
  family.map_weights(*checkpoint, loaded.config, fields, loaded.weights);
  return loaded;
}

}  // namespace ffmem
