// Qwen2 (Yang et al. 2024; transformers `Qwen2ForCausalLM`): Llama with biases on query, key and value, and sliding windows in
// some layers. Qwen3 (2025; `Qwen3ForCausalLM`): without those biases, but each head's query and key pass an RMSNorm.
#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/llama_layers.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields, std::size_t head_dim_if_absent) {
  ModelConfig c = read_llama_sizes(fields, {.kv_heads_if_absent = 32, .head_dim_if_absent = head_dim_if_absent});
  c.activation = read_activation(fields, "hidden_act", "silu");
  const bool slides = fields.flag("use_sliding_window", false);
  const std::size_t window = slides ? read_window(fields, "sliding_window", 4096) : 0;
  fields.ignore({"sliding_window"});
  const std::size_t first_sliding = fields.size("max_window_layers", 28);
  read_layer_windows(fields, c, window, [&](std::size_t layer) { return layer >= first_sliding; });
  return c;
}

ModelConfig read_qwen2(const JsonFields& fields) { return read_config(fields, 0); }

ModelConfig read_qwen3(const JsonFields& fields) {
  ModelConfig c = read_config(fields, 128);
  fields.ignore({"attention_bias"});  // read with the weights
  return c;
}

LayerWeights map_layer(WeightSource& source, const std::string& prefix, const ModelConfig& c, Bias query_key_value,
                       Bias output) {
  LayerWeights layer;
  layer.attention_in = source.norm(prefix + "input_layernorm", c.d_model, Bias::none);
  map_llama_attention(source, prefix, c, query_key_value, output, layer);
  layer.ffn_in = source.norm(prefix + "post_attention_layernorm", c.d_model, Bias::none);
  map_gated_feed_forward(source, prefix, c, Bias::none, layer);
  return layer;
}

void map_qwen2(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const auto layer = [&](WeightSource& source, const std::string& prefix) {
    return map_layer(source, prefix, c, Bias::required, Bias::none);
  };
  map_llama_model(checkpoint, c, fields, Bias::none, false, layer, weights);
}

void map_qwen3(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias bias = bias_if(fields.flag("attention_bias", false));
  const auto layer = [&](WeightSource& source, const std::string& prefix) {
    LayerWeights mapped = map_layer(source, prefix, c, bias, bias);
    mapped.query_norm = source.norm(prefix + "self_attn.q_norm", c.head_dim, Bias::none);
    mapped.key_norm = source.norm(prefix + "self_attn.k_norm", c.head_dim, Bias::none);
    return mapped;
  };
  map_llama_model(checkpoint, c, fields, Bias::none, false, layer, weights);
}

}  // namespace

const Family kQwen2{"qwen2", read_qwen2, map_qwen2};
const Family kQwen3{"qwen3", read_qwen3, map_qwen3};

}  // namespace ffmem
