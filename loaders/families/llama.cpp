// Llama (Touvron et al. 2023; transformers `LlamaForCausalLM`): RMSNorm, pre-norm, rotary positions, gated feed-forward
// layers, grouped key/value heads; biases where attention_bias and mlp_bias say so.
// Mistral (Jiang et al. 2023; `MistralForCausalLM`): the same with a sliding window in every layer.
#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/llama_layers.hpp"

namespace ffmem {
namespace {

ModelConfig read_llama(const JsonFields& fields) {
  ModelConfig c = read_llama_sizes(fields);
  c.activation = read_activation(fields, "hidden_act", "silu");
  refuse_unless(fields, "rope_interleaved", false);
  fields.ignore({"attention_bias", "mlp_bias"});  // read with the weights
  fields.ignore({"pretraining_tp", "is_llama_config", "max_sequence_length"});
  return c;
}

ModelConfig read_mistral(const JsonFields& fields) {
  ModelConfig c = read_llama_sizes(fields, {.kv_heads_if_absent = 8});
  c.activation = read_activation(fields, "hidden_act", "silu");
  set_attention_everywhere(c, standard_attention_scale(c), read_window(fields, "sliding_window", 4096));
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias attention_bias = bias_if(fields.flag("attention_bias", false));
  const Bias mlp_bias = bias_if(fields.flag("mlp_bias", false));
  const auto map_layer = [&](WeightSource& source, const std::string& prefix) {
    LayerWeights layer;
    layer.attention_in = source.norm(prefix + "input_layernorm", c.d_model, Bias::none);
    map_llama_attention(source, prefix, c, attention_bias, attention_bias, layer);
    layer.ffn_in = source.norm(prefix + "post_attention_layernorm", c.d_model, Bias::none);
    map_gated_feed_forward(source, prefix, c, mlp_bias, layer);
    return layer;
  };
  map_llama_model(checkpoint, c, fields, Bias::none, false, map_layer, weights);
}

}  // namespace

const Family kLlama{"llama", read_llama, map_weights};
const Family kMistral{"mistral", read_mistral, map_weights};

}  // namespace ffmem
