// OPT (Zhang et al. 2022; transformers `OPTForCausalLM`): learned positions from row 2 on; pre-norm, or post-norm without a
// final norm (350m), there with projections between a narrower embedding and the stream.
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("num_hidden_layers");
  c.d_model = fields.size("hidden_size");
  c.d_embedding = fields.size("word_embed_proj_dim", c.d_model);
  c.n_heads = fields.size("num_attention_heads");
  c.d_memory = fields.size("ffn_dim");
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings", 2048);
  c.positions = PositionKind::learned;
  c.position_offset = 2;
  c.norm_epsilon = 1e-5F;
  c.activation = read_activation(fields, "activation_function", "relu");
  check_sizes(fields, c);
  split_heads_evenly(fields, "num_attention_heads", c);
  set_attention_everywhere(c, standard_attention_scale(c));
  refuse_unless(fields, "learned_embeddings", true);
  fields.ignore({"do_layer_norm_before", "_remove_final_layer_norm", "enable_bias",
                 "layer_norm_elementwise_affine"});  // read with the weights
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const bool pre_norm = fields.flag("do_layer_norm_before", true);
  const bool affine = fields.flag("layer_norm_elementwise_affine", true);
  const Bias bias = bias_if(fields.flag("enable_bias", true));
  WeightSource source(checkpoint, {"model.decoder.", "decoder."}, "embed_tokens.weight");
  const auto norm = [&](const std::string& name) {
    return affine ? source.norm(name, c.d_model, Bias::required) : NormWeights{.present = true, .weight = {}, .bias = {}};
  };
  const bool tied = fields.flag("tie_word_embeddings", true);
  weights.token_embedding = source.embedding("embed_tokens.weight", c.vocab_size, c.d_embedding, tied ? "lm_head" : "");
  weights.position_embedding = source.matrix("embed_positions.weight", c.max_positions + c.position_offset, c.d_model);
  if (c.d_embedding != c.d_model) {
    weights.embedding_projection = source.linear("project_in", c.d_model, c.d_embedding, Bias::none);
    weights.head_projection = source.linear("project_out", c.d_embedding, c.d_model, Bias::none);
  }
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string name = "layers." + std::to_string(l) + ".";
    LayerWeights layer;
    (pre_norm ? layer.attention_in : layer.attention_residual) = norm(name + "self_attn_layer_norm");
    layer.query = source.linear(name + "self_attn.q_proj", c.d_model, c.d_model, bias);
    layer.key = source.linear(name + "self_attn.k_proj", c.d_model, c.d_model, bias);
    layer.value = source.linear(name + "self_attn.v_proj", c.d_model, c.d_model, bias);
    layer.output = source.linear(name + "self_attn.out_proj", c.d_model, c.d_model, bias);
    (pre_norm ? layer.ffn_in : layer.ffn_residual) = norm(name + "final_layer_norm");
    layer.keys = source.linear(name + "fc1", c.d_memory, c.d_model, bias);
    layer.set_values(source.linear(name + "fc2", c.d_model, c.d_memory, bias));
    weights.layers.push_back(std::move(layer));
  }
  if (pre_norm && !fields.flag("_remove_final_layer_norm", false)) weights.final_norm = norm("final_layer_norm");
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_embedding);
  source.finish(weights);
}

}  // namespace

const Family kOpt{"opt", read_config, map_weights};

}  // namespace ffmem
