// GPT-BigCode (SantaCoder, StarCoder 2023; transformers `GPTBigCodeForCausalLM`): GPT-2's names and learned positions, matrices
// stored [out, in], one key/value head for all queries (multi_query) or three parts per head.
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
  c.max_positions = fields.size("n_positions", 1024);
  c.positions = PositionKind::learned;
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = read_activation(fields, "activation_function", "gelu_pytorch_tanh");
  check_sizes(fields, c);
  split_heads_evenly(fields, "n_head", c);
  if (fields.flag("multi_query", true)) c.n_kv_heads = 1;
  set_attention_everywhere(c, fields.flag("scale_attn_weights", true) ? standard_attention_scale(c) : 1.0F);
  refuse_unless(fields, "add_cross_attention", false);
  fields.ignore({"num_key_value_heads"});  // follows from multi_query
  fields.ignore({"inference_runner", "max_batch_size", "max_sequence_length", "pad_key_length", "pre_allocate_kv_cache",
                 "validate_runner_input", "n_ctx"});
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
    source.grouped_attention(h + "attn.c_attn", c, Bias::required, layer);
    layer.output = source.linear(h + "attn.c_proj", c.d_model, c.d_model, Bias::required);
    layer.ffn_in = source.norm(h + "ln_2", c.d_model, Bias::required);
    layer.keys = source.linear(h + "mlp.c_fc", c.d_memory, c.d_model, Bias::required);
    layer.set_values(source.linear(h + "mlp.c_proj", c.d_model, c.d_memory, Bias::required));
    weights.layers.push_back(std::move(layer));
  }
  weights.final_norm = source.norm("ln_f", c.d_model, Bias::required);
  weights.head = source.head("lm_head", tied, weights.token_embedding, c.vocab_size, c.d_model);
  source.finish(weights);
}

}  // namespace

const Family kGptBigcode{"gpt_bigcode", read_config, map_weights};

}  // namespace ffmem
