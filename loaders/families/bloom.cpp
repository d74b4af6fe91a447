// BLOOM (2022; transformers `BloomForCausalLM`): no positions but ALiBi slopes (Press et al. 2022), a norm behind the
// embedding, query, key and value in one matrix grouped by head.
#include <bit>
#include <cmath>
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// b, b², ... with b = 2^(-8/p) for the largest power of two p <= n; the n - p further heads take odd powers of 2^(-4/p).
std::vector<float> alibi_slopes(std::size_t n_heads) {
  const std::size_t p = std::bit_floor(n_heads);
  std::vector<float> slopes;
  for (std::size_t h = 0; h < n_heads; ++h) {
    const double power = h < p ? 8.0 * static_cast<double>(h + 1) : 4.0 * static_cast<double>(2 * (h - p) + 1);
    slopes.push_back(static_cast<float>(std::exp2(-power / static_cast<double>(p))));
  }
  return slopes;
}

/// A size with two names. The reference takes the longer one where a file has both; they must agree.
std::size_t read_either(const JsonFields& fields, std::string_view name, std::string_view longer) {
  if (!fields.has(name)) return fields.size(longer);
  const std::size_t size = fields.size(name);
  if (fields.size(longer, size) != size) fields.refuse(longer, concat(size, " as ", name));
  return size;
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = read_either(fields, "n_layer", "num_hidden_layers");
  c.d_model = c.d_embedding = fields.has("n_embed") ? fields.size("n_embed") : fields.size("hidden_size");
  c.n_heads = read_either(fields, "n_head", "num_attention_heads");
  c.d_memory = 4 * c.d_model;
  if (fields.size("n_inner", c.d_memory) != c.d_memory) fields.refuse("n_inner", concat("null or ", c.d_memory));
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("seq_length", 2048);
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = Activation::gelu_fast;
  check_sizes(fields, c);
  split_heads_evenly(fields, fields.has("n_head") ? "n_head" : "num_attention_heads", c);
  set_attention_everywhere(c, standard_attention_scale(c));
  c.positions = PositionKind::alibi;
  c.alibi_slopes = alibi_slopes(c.n_heads);
  refuse_unless(fields, "apply_residual_connection_post_layernorm", false);
  if (fields.flag("slow_but_exact", false) && fields.size("pretraining_tp", 1) > 1) {
    fail(ErrorCode::config_unsupported, fields.location("slow_but_exact"),
         ": only with pretraining_tp 1 is true supported: the reference leaves biases out with more");
  }
  fields.ignore({"hidden_size"});     // n_embed's other name
  fields.ignore({"pretraining_tp"});  // alone it changes nothing
  fields.ignore({"bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi", "skip_bias_add", "skip_bias_add_qkv"});
  return c;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  WeightSource source(checkpoint, {"transformer.", ""}, "word_embeddings.weight");
  const bool tied = fields.flag("tie_word_embeddings", true);
  weights.token_embedding = source.embedding("word_embeddings.weight", c.vocab_size, c.d_model, tied ? "lm_head" : "");
  weights.embedding_norm = source.norm("word_embeddings_layernorm", c.d_model, Bias::required);
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const std::string h = "h." + std::to_string(l) + ".";
    LayerWeights layer;
    layer.attention_in = source.norm(h + "input_layernorm", c.d_model, Bias::required);
    source.grouped_attention(h + "self_attention.query_key_value", c, Bias::required, layer);
    layer.output = source.linear(h + "self_attention.dense", c.d_model, c.d_model, Bias::required);
    layer.ffn_in = source.norm(h + "post_attention_layernorm", c.d_model, Bias::required);
    layer.keys = source.linear(h + "mlp.dense_h_to_4h", c.d_memory, c.d_model, Bias::required);
    layer.set_values(source.linear(h + "mlp.dense_4h_to_h", c.d_model, c.d_memory, Bias::required));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("ln_f", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace

const Family kBloom{"bloom", read_config, map_weights};

}  // namespace ffmem
