// What several families' config.json files have in common.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "loaders/json_file.hpp"
#include "loaders/model_config.hpp"

namespace ffmem {

/// The activation that field `key` names, or `fallback` (a config name) where it is absent. Throws activation_unknown.
Activation read_activation(const JsonFields& fields, std::string_view key, std::string_view fallback);

/// Refuses sizes that are 0 or beyond anything real, before anything is allocated by them. Call it once they are read.
void check_sizes(const JsonFields& fields, const ModelConfig& config);

/// Throws config_unsupported unless field `key` is `expected` (absent: it is; null: it is, or counts as `if_null`).
void refuse_unless(const JsonFields& fields, std::string_view key, bool expected);
void refuse_unless(const JsonFields& fields, std::string_view key, bool expected, bool if_null);

/// A field whose absence and null mean different things.
std::size_t size_or(const JsonFields& fields, std::string_view key, std::size_t if_absent, std::size_t if_null);
float number_or(const JsonFields& fields, std::string_view key, float if_absent, float if_null);
bool flag_or(const JsonFields& fields, std::string_view key, bool if_absent, bool if_null);

/// bos_token_id and eos_token_id (a number, a list of numbers, or null).
void read_special_tokens(const JsonFields& fields, ModelConfig& config);

/// all_eos: what eos_token_id names in a generation_config.json, if anything.
void read_generation_end(const JsonFields& fields, ModelConfig& config);

/// n_kv_heads = n_heads, head_dim = d / n_heads; throws config_invalid, naming `key`, where the heads do not divide the width.
void split_heads_evenly(const JsonFields& fields, std::string_view key, ModelConfig& config);

/// Throws config_invalid, naming `key`, unless the key/value heads divide the heads.
void check_grouping(const JsonFields& fields, std::string_view key, const ModelConfig& config);

/// The same scale and window (0: none) in every layer.
void set_attention_everywhere(ModelConfig& config, float scale, std::size_t window = 0);

/// How many positions a sliding window has; null is none, 0 here. Throws config_invalid for a 0 in the file: a window in which
/// no position sees any.
std::size_t read_window(const JsonFields& fields, std::string_view key, std::size_t if_absent);

/// attention_window: `window` in the layers that the field layer_types calls "sliding_attention", none in those it calls
/// "full_attention"; where the field is absent, in the layers for which `slides` says so. Throws config_invalid.
void read_layer_windows(const JsonFields& fields, ModelConfig& config, std::size_t window,
                        const std::function<bool(std::size_t layer)>& slides);

/// 1 / sqrt(head_dim).
float standard_attention_scale(const ModelConfig& config);

}  // namespace ffmem
