// Gemma 2 (2024; transformers `Gemma2ForCausalLM`): Llama's names with a norm before and behind each sublayer, RMSNorm weights
// stored as their distance from 1, a scaled embedding, soft caps on scores and logits, windows in every other layer.
#include <cmath>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/llama_layers.hpp"

namespace ffmem {
namespace {

/// Null is no cap, 0 here; the reference divides by a 0 in the file.
float read_softcap(const JsonFields& fields, std::string_view key, float if_absent) {
  const float cap = number_or(fields, key, if_absent, 0.0F);
  if (fields.has(key) && cap <= 0.0F) fields.refuse(key, "a number above 0, or null");
  return cap;
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c = read_llama_sizes(fields, {.kv_heads_if_absent = 4, .head_dim_if_absent = 256});
  c.activation = read_activation(fields, "hidden_activation", "gelu_pytorch_tanh");
  c.embedding_scale = std::sqrt(static_cast<float>(c.d_model));
  const float scalar = fields.number("query_pre_attn_scalar", 256.0F);
  if (scalar <= 0.0F) fields.refuse("query_pre_attn_scalar", "a number above 0");
  set_attention_everywhere(c, 1.0F / std::sqrt(scalar));
  read_layer_windows(fields, c, read_window(fields, "sliding_window", 4096), [](std::size_t layer) { return layer % 2 == 0; });
  c.attention_softcap = read_softcap(fields, "attn_logit_softcapping", 50.0F);
  c.final_softcap = read_softcap(fields, "final_logit_softcapping", 30.0F);
  fields.ignore({"attention_bias"});                     // read with the weights
  fields.ignore({"hidden_act", "sliding_window_size"});  // older names that nothing reads
  return c;
}

NormWeights one_plus(NormWeights norm) {
  for (float& weight : norm.weight) weight += 1.0F;
  return norm;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias bias = bias_if(fields.flag("attention_bias", false));
  const auto map_layer = [&](WeightSource& source, const std::string& prefix) {
    const auto norm = [&](const char* name) { return one_plus(source.norm(prefix + name, c.d_model, Bias::none)); };
    LayerWeights layer;
    layer.attention_in = norm("input_layernorm");
    map_llama_attention(source, prefix, c, bias, bias, layer);
    layer.attention_out = norm("post_attention_layernorm");
    layer.ffn_in = norm("pre_feedforward_layernorm");
    map_gated_feed_forward(source, prefix, c, Bias::none, layer);
    layer.ffn_out = norm("post_feedforward_layernorm");
    return layer;
  };
  map_llama_model(checkpoint, c, fields, Bias::none, true, map_layer, weights);
  weights.final_norm = one_plus(std::move(weights.final_norm));
}

}  // namespace

const Family kGemma2{"gemma2", read_config, map_weights};

}  // namespace ffmem
