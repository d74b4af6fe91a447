// Falcon (2023; transformers `FalconForCausalLM`): parallel blocks with one norm and one key/value head (7B), or with grouped
// heads and one or two norms (40B, 180B, 11B; new_decoder_architecture); sequential ones where parallel_attn is off.
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
  c.d_memory = fields.size("ffn_hidden_size", 4 * c.d_model);
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings", 2048);
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = read_activation(fields, "activation", "gelu");
  check_sizes(fields, c);
  split_heads_evenly(fields, "num_attention_heads", c);
  const bool new_architecture = fields.flag("new_decoder_architecture", false);
  const std::size_t kv_heads = fields.size("num_kv_heads", c.n_heads);
  if (new_architecture) {
    c.n_kv_heads = kv_heads;
    check_grouping(fields, "num_kv_heads", c);
  } else if (flag_or(fields, "multi_query", true, false)) {
    c.n_kv_heads = 1;
  }
  if (new_architecture) refuse_unless(fields, "parallel_attn", true, /*if_null=*/false);
  c.wiring = flag_or(fields, "parallel_attn", true, false) ? Wiring::parallel : Wiring::sequential;
  set_attention_everywhere(c, standard_attention_scale(c));
  read_rotary(fields, c);
  refuse_unless(fields, "alibi", false);
  refuse_unless(fields, "apply_residual_connection_post_layernorm", false);
  fields.ignore({"multi_query", "bias", "num_ln_in_parallel_attn", "ff_factor"});
  return c;
}

void map_norms(WeightSource& source, const std::string& h, const ModelConfig& c, const JsonFields& fields,
               LayerWeights& layer) {
  const bool new_architecture = fields.flag("new_decoder_architecture", false);
  if (new_architecture && fields.size("num_ln_in_parallel_attn", 2) == 2) {
    layer.attention_in = source.norm(h + "ln_attn", c.d_model, Bias::required);
    layer.ffn_in = source.norm(h + "ln_mlp", c.d_model, Bias::required);
    return;
  }
  layer.attention_in = source.norm(h + "input_layernorm", c.d_model, Bias::required);
  layer.ffn_in = c.wiring == Wiring::parallel ? layer.attention_in
                                              : source.norm(h + "post_attention_layernorm", c.d_model, Bias::required);
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias bias = bias_if(fields.flag("bias", false));
  WeightSource source(checkpoint, {"transformer.", ""}, "word_embeddings.weight");
  const bool tied = fields.flag("tie_word_embeddings", true);
  weights.token_embedding = source.embedding("word_embeddings.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string h = "h." + std::to_string(l) + ".";
    LayerWeights layer;
    map_norms(source, h, c, fields, layer);
    source.grouped_attention(h + "self_attention.query_key_value", c, bias, layer);
    layer.output = source.linear(h + "self_attention.dense", c.d_model, c.d_model, bias);
    layer.keys = source.linear(h + "mlp.dense_h_to_4h", c.d_memory, c.d_model, bias);
    layer.set_values(source.linear(h + "mlp.dense_4h_to_h", c.d_model, c.d_memory, bias));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("ln_f", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace

const Family kFalcon{"falcon", read_config, map_weights};

}  // namespace ffmem
