// GPT-Neo (Black et al. 2021; transformers `GPTNeoForCausalLM`): GPT-2 with separate query, key and value without biases,
// scores that are not scaled, and a sliding window in the layers called "local".
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::string_view kWindow = "window_size";

/// A layer's word: "global" or "local"; refused with `words`, what is expected in the field `key`.
std::size_t window_of(const JsonFields& fields, std::string_view key, std::string_view words, const nlohmann::json& word) {
  if (word == "global") return 0;
  if (word != "local") fields.refuse(key, words);
  const std::size_t window = fields.size(kWindow, 256);
  if (window == 0) fields.refuse(kWindow, "at least 1");
  return window;
}

/// attention_layers, ["global", "local", ...].
std::vector<std::size_t> read_layers(const JsonFields& fields, std::size_t n_layers) {
  constexpr std::string_view kKey = "attention_layers";
  const std::string words = concat("a list of ", n_layers, " words, each \"global\" or \"local\"");
  const nlohmann::json& layers = fields.at(kKey);
  if (!layers.is_array() || layers.size() != n_layers) fields.refuse(kKey, words);
  std::vector<std::size_t> windows;
  for (const nlohmann::json& word : layers) windows.push_back(window_of(fields, kKey, words, word));
  return windows;
}

/// attention_types, [[["global", "local"], 6], ...]: each list repeated that many times.
std::vector<std::size_t> read_types(const JsonFields& fields, std::size_t n_layers) {
  constexpr std::string_view kKey = "attention_types";
  constexpr std::string_view kWords = "pairs of a list of \"global\" and \"local\" and a number, one word a layer in the end";
  const nlohmann::json types = fields.has(kKey) ? fields.at(kKey) : nlohmann::json::parse(R"([[["global", "local"], 12]])");
  std::vector<std::size_t> windows;
  if (!types.is_array()) fields.refuse(kKey, kWords);
  for (const nlohmann::json& pair : types) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_array() || !pair[1].is_number_unsigned()) {
      fields.refuse(kKey, kWords);
    }
    for (std::size_t n = pair[1].get<std::size_t>(); n > 0 && windows.size() <= n_layers && !pair[0].empty(); --n) {
      for (const nlohmann::json& word : pair[0]) windows.push_back(window_of(fields, kKey, kWords, word));
    }
  }
  if (windows.size() != n_layers) fields.refuse(kKey, concat(kWords, ", ", n_layers, " of them"));
  return windows;
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("num_layers");
  c.d_model = c.d_embedding = fields.size("hidden_size");
  c.n_heads = fields.size("num_heads");
  c.d_memory = fields.size("intermediate_size", 4 * c.d_model);
  c.vocab_size = fields.size("vocab_size");
  c.max_positions = fields.size("max_position_embeddings", 2048);
  c.positions = PositionKind::learned;
  c.norm_epsilon = fields.number("layer_norm_epsilon", 1e-5F);
  c.activation = read_activation(fields, "activation_function", "gelu_new");
  check_sizes(fields, c);
  split_heads_evenly(fields, "num_heads", c);
  set_attention_everywhere(c, 1.0F);
  // attention_layers is attention_types written out, and what the reference takes where a file has both.
  c.attention_window = fields.has("attention_layers") ? read_layers(fields, c.n_layers) : read_types(fields, c.n_layers);
  fields.ignore({kWindow, "attention_layers", "attention_types"});
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
    layer.query = source.linear(h + "attn.attention.q_proj", c.d_model, c.d_model, Bias::none);
    layer.key = source.linear(h + "attn.attention.k_proj", c.d_model, c.d_model, Bias::none);
    layer.value = source.linear(h + "attn.attention.v_proj", c.d_model, c.d_model, Bias::none);
    layer.output = source.linear(h + "attn.attention.out_proj", c.d_model, c.d_model, Bias::required);
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

const Family kGptNeo{"gpt_neo", read_config, map_weights};

}  // namespace ffmem
