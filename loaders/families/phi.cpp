// Phi-1, 1.5 and 2 (2023; transformers `PhiForCausalLM`): attention and feed-forward layer in parallel behind one norm, rotary
// positions on part of each head, biases everywhere, also on the output matrix.
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/rope_fields.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("num_hidden_layers");
  c.d_model = c.d_embedding = fields.size("hidden_size");
  c.n_heads = fields.size("num_attention_heads");
  c.d_memory = fields.size("intermediate_size");
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings", 2048);
  c.wiring = Wiring::parallel;
  c.norm_epsilon = fields.number("layer_norm_eps", 1e-5F);
  c.activation = read_activation(fields, "hidden_act", "gelu_new");
  check_sizes(fields, c);
  split_heads_evenly(fields, "num_attention_heads", c);
  c.n_kv_heads = fields.size("num_key_value_heads", c.n_heads);
  check_grouping(fields, "num_key_value_heads", c);
  set_attention_everywhere(c, standard_attention_scale(c));
  read_rotary(fields, c, {.fraction = 0.5, .partial = true});
  refuse_unless(fields, "qk_layernorm", false);
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const std::size_t kv_width = c.n_kv_heads * c.head_dim;
  WeightSource source(checkpoint, {"model.", ""}, "embed_tokens.weight");
  const bool tied = fields.flag("tie_word_embeddings", false);
  weights.token_embedding = source.embedding("embed_tokens.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string name = "layers." + std::to_string(l) + ".";
    LayerWeights layer;
    layer.attention_in = layer.ffn_in = source.norm(name + "input_layernorm", c.d_model, Bias::required);
    layer.query = source.linear(name + "self_attn.q_proj", c.d_model, c.d_model, Bias::required);
    layer.key = source.linear(name + "self_attn.k_proj", kv_width, c.d_model, Bias::required);
    layer.value = source.linear(name + "self_attn.v_proj", kv_width, c.d_model, Bias::required);
    layer.output = source.linear(name + "self_attn.dense", c.d_model, c.d_model, Bias::required);
    layer.keys = source.linear(name + "mlp.fc1", c.d_memory, c.d_model, Bias::required);
    layer.set_values(source.linear(name + "mlp.fc2", c.d_model, c.d_memory, Bias::required));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("final_layernorm", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model, Bias::required);
  source.finish(weights);
}

}  // namespace

const Family kPhi{"phi", read_config, map_weights};

}  // namespace ffmem
