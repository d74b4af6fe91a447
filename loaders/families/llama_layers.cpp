#include "loaders/families/llama_layers.hpp"

#include "loaders/families/config_fields.hpp"
#include "loaders/families/rope_fields.hpp"
#include "ops/error.hpp"

namespace ffmem {

ModelConfig read_llama_sizes(const JsonFields& fields, const LlamaDefaults& defaults) {
  ModelConfig c;
  c.n_layers = fields.size("num_hidden_layers");
  c.d_model = c.d_embedding = fields.size("hidden_size");
  c.d_memory = fields.size("intermediate_size");
  c.n_heads = fields.size("num_attention_heads");
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings");
  check_sizes(fields, c);

  c.n_kv_heads = size_or(fields, "num_key_value_heads", defaults.kv_heads_if_absent, c.n_heads);
  if (c.n_kv_heads == 0 && !fields.contains("num_key_value_heads")) c.n_kv_heads = c.n_heads;
  check_grouping(fields, "num_key_value_heads", c);
  c.head_dim = size_or(fields, "head_dim", defaults.head_dim_if_absent, 0);
  if (c.head_dim == 0) c.head_dim = c.d_model / c.n_heads;
  if (c.head_dim == 0 || c.head_dim > c.d_model * 16) {
    fields.refuse("head_dim", concat("1 to ", c.d_model * 16));
  }

  c.norm = NormKind::rms_norm;
  c.norm_epsilon = fields.number("rms_norm_eps", defaults.rms_epsilon);
  c.gated = true;
  set_attention_everywhere(c, standard_attention_scale(c));
  read_rotary(fields, c);
  return c;
}

void map_llama_attention(WeightSource& source, const std::string& prefix, const ModelConfig& c, Bias query_key_value,
                         Bias output, LayerWeights& layer) {
  const std::string name = prefix + "self_attn.";
  layer.query = source.linear(name + "q_proj", c.n_heads * c.head_dim, c.d_model, query_key_value);
  layer.key = source.linear(name + "k_proj", c.n_kv_heads * c.head_dim, c.d_model, query_key_value);
  layer.value = source.linear(name + "v_proj", c.n_kv_heads * c.head_dim, c.d_model, query_key_value);
  layer.output = source.linear(name + "o_proj", c.d_model, c.n_heads * c.head_dim, output);
}

void map_gated_feed_forward(WeightSource& source, const std::string& prefix, const ModelConfig& c, Bias bias,
                            LayerWeights& layer) {
  layer.keys = source.linear(prefix + "mlp.gate_proj", c.d_memory, c.d_model, bias);
  layer.ups = source.linear(prefix + "mlp.up_proj", c.d_memory, c.d_model, bias);
  layer.set_values(source.linear(prefix + "mlp.down_proj", c.d_model, c.d_memory, bias));
}

void map_llama_model(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, Bias norm_bias,
                     bool tied_if_absent,
                     const std::function<LayerWeights(WeightSource& source, const std::string& prefix)>& map_layer,
                     ModelWeights& weights) {
  WeightSource source(checkpoint, {"model.", ""}, "embed_tokens.weight");
  const bool tied = fields.flag("tie_word_embeddings", tied_if_absent);
  weights.token_embedding = source.embedding("embed_tokens.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    weights.layers.push_back(map_layer(source, "layers." + std::to_string(l) + "."));
  }
  weights.final_norm = source.norm("norm", c.d_model, norm_bias);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace ffmem
