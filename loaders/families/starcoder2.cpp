// StarCoder2 (2024; transformers `Starcoder2ForCausalLM`): Llama's names and rotary positions around LayerNorms and a plain
// feed-forward layer, biases everywhere, a sliding window in every layer.
#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/llama_layers.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Fields of the published files that the reference does not read: other values would mean another model.
void refuse_unless_text(const JsonFields& fields, std::string_view key, std::string_view expected) {
  if (fields.text(key, expected) == expected) return;
  fail(ErrorCode::config_unsupported, fields.location(key), ": only \"", expected, "\" is supported");
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c = read_llama_sizes(fields, {.kv_heads_if_absent = 2});
  c.norm = NormKind::layer_norm;
  c.norm_epsilon = fields.number("norm_epsilon", 1e-5F);
  c.gated = false;
  c.activation = read_activation(fields, "hidden_act", "gelu_pytorch_tanh");
  set_attention_everywhere(c, standard_attention_scale(c), read_window(fields, "sliding_window", 0));
  refuse_unless_text(fields, "mlp_type", "default");
  refuse_unless_text(fields, "norm_type", "layer_norm");
  refuse_unless(fields, "scale_attn_weights", true);
  fields.ignore({"use_bias"});                                   // read with the weights
  fields.ignore({"activation_function", "layer_norm_epsilon"});  // the published files have them beside those that count
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias bias = bias_if(fields.flag("use_bias", true));
  const auto map_layer = [&](WeightSource& source, const std::string& prefix) {
    LayerWeights layer;
    layer.attention_in = source.norm(prefix + "input_layernorm", c.d_model, Bias::required);
    map_llama_attention(source, prefix, c, bias, bias, layer);
    layer.ffn_in = source.norm(prefix + "post_attention_layernorm", c.d_model, Bias::required);
    layer.keys = source.linear(prefix + "mlp.c_fc", c.d_memory, c.d_model, bias);
    layer.set_values(source.linear(prefix + "mlp.c_proj", c.d_model, c.d_memory, bias));
    return layer;
  };
  map_llama_model(checkpoint, c, fields, Bias::required, true, map_layer, weights);
}

}  // namespace

const Family kStarcoder2{"starcoder2", read_config, map_weights};

}  // namespace ffmem
