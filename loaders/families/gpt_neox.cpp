// GPT-NeoX and Pythia (Black et al. 2022; transformers `GPTNeoXForCausalLM`): query, key and value in one matrix grouped by
// head, rotary positions on part of each head, two norms of the same stream where the block is parallel.
#include <algorithm>
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/rope_fields.hpp"

namespace ffmem {
namespace {

/// Some files have rotary_pct again under the name that other families use; the reference scales by one or the other.
void check_repeated_fraction(const JsonFields& fields, const ModelConfig& c) {
  constexpr std::string_view kKey = "partial_rotary_factor";
  if (!fields.optional_number(kKey)) return;
  const double share = std::clamp(fields.at(kKey).get<double>(), 0.0, 2.0);
  const auto turned = static_cast<std::size_t>(share * static_cast<double>(c.head_dim));
  if (turned != 2 * c.rotary_inv_freq.size()) fields.refuse(kKey, "the share that rotary_pct says");
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("num_hidden_layers");
  c.d_model = c.d_embedding = fields.size("hidden_size");
  c.n_heads = fields.size("num_attention_heads");
  c.d_memory = fields.size("intermediate_size");
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings", 2048);
  c.wiring = fields.flag("use_parallel_residual", true) ? Wiring::parallel : Wiring::sequential;
  c.norm_epsilon = fields.number("layer_norm_eps", 1e-5F);
  c.activation = read_activation(fields, "hidden_act", "gelu");
  check_sizes(fields, c);
  split_heads_evenly(fields, "num_attention_heads", c);
  set_attention_everywhere(c, standard_attention_scale(c));
  read_rotary(fields, c, {.theta_key = "rotary_emb_base", .fraction_key = "rotary_pct", .fraction = 0.25, .partial = true});
  check_repeated_fraction(fields, c);
  fields.ignore({"rope_theta"});      // in some files beside rotary_emb_base, and without effect
  fields.ignore({"attention_bias"});  // read with the weights
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const Bias attention_bias = bias_if(fields.flag("attention_bias", true));
  WeightSource source(checkpoint, {"gpt_neox.", ""}, "embed_in.weight");
  const bool tied = fields.flag("tie_word_embeddings", false);
  weights.token_embedding = source.embedding("embed_in.weight", c.vocab_size, c.d_model, tied ? "embed_out" : "");
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string name = "layers." + std::to_string(l) + ".";
    LayerWeights layer;
    layer.attention_in = source.norm(name + "input_layernorm", c.d_model, Bias::required);
    source.grouped_attention(name + "attention.query_key_value", c, attention_bias, layer);
    layer.output = source.linear(name + "attention.dense", c.d_model, c.d_model, attention_bias);
    layer.ffn_in = source.norm(name + "post_attention_layernorm", c.d_model, Bias::required);
    layer.keys = source.linear(name + "mlp.dense_h_to_4h", c.d_memory, c.d_model, Bias::required);
    layer.set_values(source.linear(name + "mlp.dense_4h_to_h", c.d_model, c.d_memory, Bias::required));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("final_layer_norm", c.d_model, Bias::required);
  weights.head = source.head("embed_out", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace

const Family kGptNeoX{"gpt_neox", read_config, map_weights};

}  // namespace ffmem
