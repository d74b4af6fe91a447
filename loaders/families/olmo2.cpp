// OLMo 2 (2024; transformers `Olmo2ForCausalLM`): Llama's names with norms only on the sublayers' outputs; query and key pass
// an RMSNorm over all heads together.
#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/llama_layers.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c = read_llama_sizes(fields, {.rms_epsilon = 1e-5F});
  c.activation = read_activation(fields, "hidden_act", "silu");
  fields.ignore({"attention_bias"});  // read with the weights
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias bias = bias_if(fields.flag("attention_bias", false));
  const auto map_layer = [&](WeightSource& source, const std::string& prefix) {
    LayerWeights layer;
    map_llama_attention(source, prefix, c, bias, bias, layer);
    layer.query_norm = source.norm(prefix + "self_attn.q_norm", c.n_heads * c.head_dim, Bias::none);
    layer.key_norm = source.norm(prefix + "self_attn.k_norm", c.n_kv_heads * c.head_dim, Bias::none);
    layer.attention_out = source.norm(prefix + "post_attention_layernorm", c.d_model, Bias::none);
    map_gated_feed_forward(source, prefix, c, Bias::none, layer);
    layer.ffn_out = source.norm(prefix + "post_feedforward_layernorm", c.d_model, Bias::none);
    return layer;
  };
  map_llama_model(checkpoint, c, fields, Bias::none, false, map_layer, weights);
}

}  // namespace

const Family kOlmo2{"olmo2", read_config, map_weights};

}  // namespace ffmem
