// GPT-J (Wang and Komatsuzaki 2021; transformers `GPTJForCausalLM`): attention and feed-forward layer in parallel behind one
// norm, rotary positions on pairs of neighbouring dimensions, an output matrix with a bias.
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "loaders/families/rope_fields.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("n_layer");
  c.d_model = c.d_embedding = fields.size("n_embd");
  c.n_heads = fields.size("n_head");
  c.d_memory = fields.size("n_inner", 4 * c.d_model);
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("n_positions", 2048);
  c.wiring = Wiring::parallel;
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = read_activation(fields, "activation_function", "gelu_new");
  check_sizes(fields, c);
  split_heads_evenly(fields, "n_head", c);
  set_attention_everywhere(c, standard_attention_scale(c));

  const std::size_t r = fields.size("rotary_dim", 64);
  if (r == 0 || r % 2 != 0 || r > c.head_dim) fields.refuse("rotary_dim", concat("an even number up to ", c.head_dim));
  c.positions = PositionKind::rotary;
  c.rotary_layout = RotaryLayout::pairs;
  c.rotary_inv_freq = rotary_frequencies(10000.0F, r);
  refuse_unless(fields, "rotary", true);
  refuse_unless(fields, "scale_attn_weights", true);
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  WeightSource source(checkpoint, {"transformer.", ""}, "wte.weight");
  const bool tied = fields.flag("tie_word_embeddings", false);
  weights.token_embedding = source.embedding("wte.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string h = "h." + std::to_string(l) + ".";
    LayerWeights layer;
    layer.attention_in = layer.ffn_in = source.norm(h + "ln_1", c.d_model, Bias::required);
    layer.query = source.linear(h + "attn.q_proj", c.d_model, c.d_model, Bias::none);
    layer.key = source.linear(h + "attn.k_proj", c.d_model, c.d_model, Bias::none);
    layer.value = source.linear(h + "attn.v_proj", c.d_model, c.d_model, Bias::none);
    layer.output = source.linear(h + "attn.out_proj", c.d_model, c.d_model, Bias::none);
    layer.keys = source.linear(h + "mlp.fc_in", c.d_memory, c.d_model, Bias::required);
    layer.set_values(source.linear(h + "mlp.fc_out", c.d_model, c.d_memory, Bias::required));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("ln_f", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model, Bias::required);
  source.finish(weights);
}

}  // namespace

const Family kGptJ{"gptj", read_config, map_weights};

}  // namespace ffmem
