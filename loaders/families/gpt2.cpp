// GPT-2 (Radford et al. 2019; transformers `GPT2LMHeadModel`): learned positions, pre-norm, sequential, Conv1D matrices.
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("n_layer");
  c.d_model = c.d_embedding = fields.size("n_embd");
  c.n_heads = fields.size("n_head");
  c.d_memory = fields.size("n_inner", 4 * c.d_model);
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("n_positions", fields.size("n_ctx", 1024));
  c.positions = PositionKind::learned;
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = read_activation(fields, "activation_function", "gelu_new");
  check_sizes(fields, c);
  split_heads_evenly(fields, "n_head", c);

  set_attention_everywhere(c, fields.flag("scale_attn_weights", true) ? standard_attention_scale(c) : 1.0F);
  if (fields.flag("scale_attn_by_inverse_layer_idx", false)) {
    for (std::size_t l = 0; l < c.n_layers; ++l) c.attention_scale[l] /= static_cast<float>(l + 1);
  }
  refuse_unless(fields, "add_cross_attention", false);
  fields.ignore({"n_ctx", "reorder_and_upcast_attn"});
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  WeightSource source(checkpoint, {"transformer.", ""}, "wte.weight");
  const bool tied = fields.flag("tie_word_embeddings", true);
  weights.token_embedding = source.embedding("wte.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  weights.position_embedding = source.matrix("wpe.weight", c.max_positions, c.d_model);
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string h = "h." + std::to_string(l) + ".";
    LayerWeights layer;
    layer.attention_in = source.norm(h + "ln_1", c.d_model, Bias::required);
    const LinearWeights qkv = source.conv1d(h + "attn.c_attn", 3 * c.d_model, c.d_model);
    layer.query = slice_rows(qkv, 0, c.d_model);
    layer.key = slice_rows(qkv, c.d_model, c.d_model);
    layer.value = slice_rows(qkv, 2 * c.d_model, c.d_model);
    layer.output = source.conv1d(h + "attn.c_proj", c.d_model, c.d_model);
    layer.ffn_in = source.norm(h + "ln_2", c.d_model, Bias::required);
    layer.keys = source.conv1d(h + "mlp.c_fc", c.d_memory, c.d_model);
    layer.set_values(source.conv1d(h + "mlp.c_proj", c.d_model, c.d_memory));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("ln_f", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace

const Family kGpt2{"gpt2", read_config, map_weights};

}  // namespace ffmem
