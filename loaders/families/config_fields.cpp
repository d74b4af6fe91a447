#include "loaders/families/config_fields.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

struct SizeLimit {
  std::string what;
  std::vector<std::string_view> keys;  // what the families' files call it
  std::size_t value;
  std::size_t largest;

  std::string name_in(const JsonFields& fields) const {
    const auto key = std::ranges::find_if(keys, [&](std::string_view k) { return fields.has(k); });
    return key == keys.end() ? what : concat(*key, " (", what, ")");
  }
};

TokenId as_token(const JsonFields& fields, std::string_view key, const nlohmann::json& value) {
  if (!value.is_number_integer() || value < 0 || value > 0x7FFFFFFF) fields.refuse(key, "a token id, a list of them, or null");
  return value.get<TokenId>();
}

std::vector<TokenId> read_end_tokens(const JsonFields& fields) {
  constexpr std::string_view kKey = "eos_token_id";
  const nlohmann::json& eos = fields.at(kKey);
  if (!eos.is_array()) return {as_token(fields, kKey, eos)};
  std::vector<TokenId> tokens;
  for (const nlohmann::json& id : eos) tokens.push_back(as_token(fields, kKey, id));
  return tokens;
}

}  // namespace

Activation read_activation(const JsonFields& fields, std::string_view key, std::string_view fallback) {
  const std::string text = fields.text(key, fallback);
  if (const auto activation = activation_from_name(text)) return *activation;
  fail(ErrorCode::activation_unknown, fields.location(key), ": unknown activation \"", shown_text(text), "\"; known are ",
       known_activation_names());
}

void check_sizes(const JsonFields& fields, const ModelConfig& config) {
  const std::vector<SizeLimit> limits = {
      {"layers", {"n_layer", "num_layers", "num_hidden_layers", "decoder_layers"}, config.n_layers, 10'000},
      {"model width", {"n_embd", "n_embed", "hidden_size", "decoder_embed_dim"}, config.d_model, 1 << 20},
      {"embedding width", {"word_embed_proj_dim", "decoder_input_dim"}, config.d_embedding, 1 << 20},
      {"memories a layer",
       {"n_inner", "intermediate_size", "ffn_dim", "ffn_hidden_size", "decoder_ffn_embed_dim"},
       config.d_memory,
       1 << 24},
      {"attention heads", {"n_head", "num_heads", "num_attention_heads", "decoder_attention_heads"}, config.n_heads, 1 << 16},
      {"vocabulary size", {"vocab_size"}, config.vocab_size, 1 << 24},
      {"context length",
       {"n_positions", "n_ctx", "max_position_embeddings", "seq_length", "max_target_positions", "tokens_per_sample"},
       config.max_positions,
       1 << 26}};
  for (const SizeLimit& limit : limits) {
    if (limit.value > 0 && limit.value <= limit.largest) continue;
    fail(ErrorCode::config_invalid, fields.location(limit.name_in(fields)), ": expected 1 to ", limit.largest, ", found ",
         limit.value);
  }
}

void refuse_unless(const JsonFields& fields, std::string_view key, bool expected) {
  refuse_unless(fields, key, expected, expected);
}

void refuse_unless(const JsonFields& fields, std::string_view key, bool expected, bool if_null) {
  if (flag_or(fields, key, expected, if_null) == expected) return;
  fail(ErrorCode::config_unsupported, fields.location(key), ": only ", expected ? "true" : "false", " is supported");
}

std::size_t size_or(const JsonFields& fields, std::string_view key, std::size_t if_absent, std::size_t if_null) {
  return fields.size(key, fields.contains(key) ? if_null : if_absent);
}

float number_or(const JsonFields& fields, std::string_view key, float if_absent, float if_null) {
  return fields.number(key, fields.contains(key) ? if_null : if_absent);
}

bool flag_or(const JsonFields& fields, std::string_view key, bool if_absent, bool if_null) {
  return fields.flag(key, fields.contains(key) ? if_null : if_absent);
}

void read_special_tokens(const JsonFields& fields, ModelConfig& config) {
  if (fields.has("bos_token_id")) config.bos = as_token(fields, "bos_token_id", fields.at("bos_token_id"));
  if (!fields.has("eos_token_id")) return;
  config.all_eos = read_end_tokens(fields);
  if (!config.all_eos.empty()) config.eos = config.all_eos.front();
}

void read_generation_end(const JsonFields& fields, ModelConfig& config) {
  if (fields.has("eos_token_id")) config.all_eos = read_end_tokens(fields);
}

void split_heads_evenly(const JsonFields& fields, std::string_view key, ModelConfig& config) {
  if (config.n_heads == 0 || config.d_model % config.n_heads != 0) {
    fields.refuse(key, concat("a divisor of the model width ", config.d_model));
  }
  config.n_kv_heads = config.n_heads;
  config.head_dim = config.d_model / config.n_heads;
}

void check_grouping(const JsonFields& fields, std::string_view key, const ModelConfig& config) {
  if (config.n_kv_heads == 0 || config.n_heads % config.n_kv_heads != 0) {
    fields.refuse(key, concat("a divisor of the ", config.n_heads, " attention heads"));
  }
}

void set_attention_everywhere(ModelConfig& config, float scale, std::size_t window) {
  config.attention_scale.assign(config.n_layers, scale);
  config.attention_window.assign(config.n_layers, window);
}

std::size_t read_window(const JsonFields& fields, std::string_view key, std::size_t if_absent) {
  const std::size_t window = size_or(fields, key, if_absent, 0);
  if (window == 0 && fields.has(key)) fields.refuse(key, "at least 1, or null for no window");
  return window;
}

void read_layer_windows(const JsonFields& fields, ModelConfig& config, std::size_t window,
                        const std::function<bool(std::size_t layer)>& slides) {
  constexpr std::string_view kKey = "layer_types";
  config.attention_window.assign(config.n_layers, 0);
  const nlohmann::json* types = fields.has(kKey) ? &fields.at(kKey) : nullptr;
  if (types != nullptr && (!types->is_array() || types->size() != config.n_layers)) {
    fields.refuse(kKey, concat("a list of ", config.n_layers, " strings"));
  }
  for (std::size_t l = 0; l < config.n_layers; ++l) {
    bool slide = slides(l);
    if (types != nullptr) {
      slide = (*types)[l] == "sliding_attention";
      if (!slide && (*types)[l] != "full_attention") fields.refuse(kKey, "only full_attention and sliding_attention");
    }
    if (slide) config.attention_window[l] = window;
  }
}

float standard_attention_scale(const ModelConfig& config) { return 1.0F / std::sqrt(static_cast<float>(config.head_dim)); }

}  // namespace ffmem
