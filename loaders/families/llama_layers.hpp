// What the families with Llama's tensor names share (Llama, Mistral, Qwen, Gemma, OLMo, StarCoder2).
#pragma once

#include <functional>
#include <string>

#include "loaders/json_file.hpp"
#include "loaders/model_config.hpp"
#include "loaders/weight_source.hpp"

namespace ffmem {

/// Defaults in which the configuration classes differ. 0: what the other fields make it (all heads; d / heads).
struct LlamaDefaults {
  std::size_t kv_heads_if_absent = 0;
  std::size_t head_dim_if_absent = 0;
  float rms_epsilon = 1e-6F;
};

/// Sizes, heads, rotary positions, RMSNorm epsilon, the standard attention scale without windows, and a gated feed-forward
/// layer without its activation.
ModelConfig read_llama_sizes(const JsonFields& fields, const LlamaDefaults& defaults = {});

/// self_attn.{q,k,v,o}_proj below `prefix`, without norms.
void map_llama_attention(WeightSource& source, const std::string& prefix, const ModelConfig& config, Bias query_key_value,
                         Bias output, LayerWeights& layer);

/// mlp.{gate,up,down}_proj below `prefix`.
void map_gated_feed_forward(WeightSource& source, const std::string& prefix, const ModelConfig& config, Bias bias,
                            LayerWeights& layer);

/// Embedding, layers ("layers.N." to `map_layer`), final norm ("norm") and head. `tied_if_absent`: without the config's flag.
void map_llama_model(const Checkpoint& checkpoint, const ModelConfig& config, const JsonFields& fields, Bias norm_bias,
                     bool tied_if_absent,
                     const std::function<LayerWeights(WeightSource& source, const std::string& prefix)>& map_layer,
                     ModelWeights& weights);

}  // namespace ffmem
