// fairseq's transformer_lm (Ott et al. 2019; Baevski and Auli 2019): adaptive or plain input and softmax, sinusoidal or learned
// positions, pre- or post-norm. The fields of config.json are fairseq's own arguments, and what is no argument is in the object
// _not_fairseq_args. Positions start behind the padding index: row p + 2. A <pad> in the input counts as a word here.
#include <charconv>
#include <cmath>
#include <string>

#include "loaders/families/config_fields.hpp"
#include "loaders/families/family.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kPositionOffset = 2;
constexpr TokenId kBeginOfSentence = 0;
constexpr TokenId kEndOfSentence = 2;

/// "20000,60000": ascending band borders below the vocabulary's size; a last one equal to it adds no band.
std::vector<std::size_t> read_cutoffs(const JsonFields& fields, std::string_view key, std::size_t vocab_size) {
  const std::string text = fields.text(key, "");
  std::vector<std::size_t> cutoffs;
  for (const char* p = text.data(); p != text.data() + text.size();) {
    const char* const end = text.data() + text.size();
    std::size_t cutoff = 0;
    const auto [behind, error] = std::from_chars(p, end, cutoff);
    const std::size_t smallest = cutoffs.empty() ? 1 : cutoffs.back() + 1;
    if (error != std::errc() || (behind != end && *behind != ',') || cutoff < smallest || cutoff > vocab_size) {
      fields.refuse(key, concat("ascending numbers up to the vocabulary size ", vocab_size, " with commas between"));
    }
    cutoffs.push_back(cutoff);
    p = behind == end ? end : behind + 1;
  }
  if (!cutoffs.empty() && cutoffs.back() == vocab_size) cutoffs.pop_back();
  return cutoffs;
}

/// Adaptive input and softmax come together here, with the same bands.
void read_bands(const JsonFields& fields, ModelConfig& c) {
  const bool adaptive_input = fields.flag("adaptive_input", false);
  const std::vector<std::size_t> softmax = read_cutoffs(fields, "adaptive_softmax_cutoff", c.vocab_size);
  const std::vector<std::size_t> input = read_cutoffs(fields, "adaptive_input_cutoff", c.vocab_size);
  const float factor = fields.number("adaptive_input_factor", 4.0F);
  const float softmax_factor = fields.number("adaptive_softmax_factor", 4.0F);
  if (!adaptive_input && softmax.empty()) return;
  if (!adaptive_input || softmax != input || softmax_factor != factor || softmax.empty()) {
    fail(ErrorCode::config_unsupported, fields.location("adaptive_softmax_cutoff"),
         ": only together with adaptive_input of the same cutoffs and factor is an adaptive softmax supported");
  }
  if (!(factor >= 1.0F)) fields.refuse("adaptive_input_factor", "a number of at least 1");
  for (const char* key : {"decoder_input_dim", "decoder_output_dim"}) {
    if (fields.size(key, c.d_model) != c.d_model) fields.refuse(key, concat("decoder_embed_dim, ", c.d_model));
  }
  c.adaptive_cutoffs = softmax;
}

void read_positions(const JsonFields& fields, ModelConfig& c) {
  c.max_positions = fields.size("max_target_positions", fields.size("tokens_per_sample", 1024));
  const bool learned = fields.flag("decoder_learned_pos", false);
  if (fields.flag("no_token_positional_embeddings", false)) {
    c.positions = PositionKind::none;
  } else {
    c.positions = learned ? PositionKind::learned : PositionKind::sinusoidal;
    c.position_offset = kPositionOffset;
  }
}

ModelConfig read_config(const JsonFields& fields) {
  ModelConfig c;
  c.n_layers = fields.size("decoder_layers");
  c.d_model = fields.size("decoder_embed_dim");
  c.d_embedding = fields.size("decoder_input_dim", c.d_model);
  c.n_heads = fields.size("decoder_attention_heads");
  c.d_memory = fields.size("decoder_ffn_embed_dim");
  const auto further = fields.optional_object("_not_fairseq_args");
  c.vocab_size = further ? further->size("vocab_size") : fields.size("vocab_size");
  c.norm_epsilon = further ? further->number("layer_norm_eps", 1e-5F) : 1e-5F;
  c.activation = read_activation(fields, "activation_fn", "relu");
  read_positions(fields, c);
  check_sizes(fields, c);
  split_heads_evenly(fields, "decoder_attention_heads", c);
  set_attention_everywhere(c, standard_attention_scale(c));
  if (!fields.flag("no_scale_embedding", false)) c.embedding_scale = std::sqrt(static_cast<float>(c.d_model));
  read_bands(fields, c);
  c.bos = fields.flag("add_bos_token", false) ? kBeginOfSentence : kEndOfSentence;
  c.eos = kEndOfSentence;
  c.all_eos = {kEndOfSentence};
  if (c.positions == PositionKind::sinusoidal && c.d_model < 4) fields.refuse("decoder_embed_dim", "at least 4");
  refuse_unless(fields, "character_embeddings", false);
  // Read with the weights; then what acts in training only.
  fields.ignore({"decoder_output_dim", "decoder_normalize_before", "no_decoder_final_norm", "layernorm_embedding",
                 "tie_adaptive_weights", "tie_adaptive_proj", "share_decoder_input_output_embed"});
  fields.ignore({"arch", "tokens_per_sample", "decoder_layerdrop", "quant_noise_pq", "quant_noise_pq_block_size",
                 "quant_noise_scalar", "sample_break_mode"});
  return c;
}

/// The tables of the bands, each fourth (by default) as wide as the one before, with the way in and the way out of each.
void map_bands(WeightSource& source, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const bool tied_tables = fields.flag("tie_adaptive_weights", false);
  const bool tied_projections = tied_tables && fields.flag("tie_adaptive_proj", false);
  const float factor = fields.number("adaptive_input_factor", 4.0F);
  const std::size_t n_clusters = c.adaptive_cutoffs.size();
  auto width = static_cast<float>(c.d_embedding);
  std::size_t first = 0;
  for (std::size_t b = 0; b <= n_clusters; ++b, width /= factor) {
    const std::size_t n = (b < n_clusters ? c.adaptive_cutoffs[b] : c.vocab_size) - first;
    const auto d_band = static_cast<std::size_t>(width);
    if (d_band == 0)
      fields.refuse("adaptive_input_factor", concat("a factor that leaves each of ", n_clusters + 1, " bands a width"));
    const std::string in = "embed_tokens.embeddings." + std::to_string(b);
    AdaptiveBand band;
    band.table = source.matrix(in + ".0.weight", n, d_band);
    band.in_projection = source.matrix(in + ".1.weight", c.d_model, d_band);
    if (b > 0) {
      const std::string out = "adaptive_softmax.tail." + std::to_string(b - 1);
      band.out_projection =
          tied_projections ? band.in_projection.transposed() : source.matrix(out + ".0.weight", d_band, c.d_model);
      if (!tied_tables) band.out_table = source.matrix(out + ".2.weight", n, d_band);
    }
    weights.bands.push_back(band);
    first += n;
  }
  if (tied_tables) {
    weights.band_head = source.matrix("adaptive_softmax.head.class_proj.weight", n_clusters, c.d_model);
  } else {
    const std::size_t n_words = c.adaptive_cutoffs.front();
    const WeightMatrix head = source.matrix("adaptive_softmax.head.weight", n_words + n_clusters, c.d_model);
    weights.bands.front().out_table = head.row_slice(0, n_words);
    weights.band_head = head.row_slice(n_words, n_clusters);
  }
}

void map_plain_tables(WeightSource& source, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  const std::size_t d_out = fields.size("decoder_output_dim", c.d_model);
  if (d_out == 0) fields.refuse("decoder_output_dim", "a width of at least 1");
  const bool shared = fields.flag("share_decoder_input_output_embed", false);
  weights.token_embedding = source.matrix("embed_tokens.weight", c.vocab_size, c.d_embedding);
  if (c.d_embedding != c.d_model) {
    weights.embedding_projection = source.linear("project_in_dim", c.d_model, c.d_embedding, Bias::none);
  }
  if (d_out != c.d_model) weights.head_projection = source.linear("project_out_dim", d_out, c.d_model, Bias::none);
  if (shared) {
    if (d_out != c.d_embedding) fields.refuse("decoder_output_dim", "decoder_input_dim, as the embedding is shared");
    weights.head = {.matrix = weights.token_embedding, .bias = {}};
  } else {
    const char* const name = source.has("embed_out") ? "embed_out" : "output_projection.weight";
    weights.head = {.matrix = source.matrix(name, c.vocab_size, d_out), .bias = {}};
  }
}

LayerWeights map_layer(WeightSource& source, const std::string& name, const ModelConfig& c, bool pre_norm) {
  LayerWeights layer;
  (pre_norm ? layer.attention_in : layer.attention_residual) =
      source.norm(name + "self_attn_layer_norm", c.d_model, Bias::required);
  layer.query = source.linear(name + "self_attn.q_proj", c.d_model, c.d_model, Bias::required);
  layer.key = source.linear(name + "self_attn.k_proj", c.d_model, c.d_model, Bias::required);
  layer.value = source.linear(name + "self_attn.v_proj", c.d_model, c.d_model, Bias::required);
  layer.output = source.linear(name + "self_attn.out_proj", c.d_model, c.d_model, Bias::required);
  (pre_norm ? layer.ffn_in : layer.ffn_residual) = source.norm(name + "final_layer_norm", c.d_model, Bias::required);
  layer.keys = source.linear(name + "fc1", c.d_memory, c.d_model, Bias::required);
  layer.set_values(source.linear(name + "fc2", c.d_model, c.d_memory, Bias::required));
  return layer;
}

/// fairseq drops the final norm of checkpoints older than version 3, whatever the arguments say.
bool has_final_norm(const Checkpoint& checkpoint, const JsonFields& fields) {
  if (!fields.flag("decoder_normalize_before", true) || fields.flag("no_decoder_final_norm", false)) return false;
  const StoredTensor* stored = checkpoint.find("decoder.version");
  if (stored == nullptr || stored->n_elements != 1 || !is_floating(stored->dtype)) return false;
  float version = 0.0F;
  convert_to_f32(stored->data, stored->dtype, 1, &version);
  return version > 2.0F;
}

void map_weights(const Checkpoint& checkpoint, const ModelConfig& c, const JsonFields& fields, ModelWeights& weights) {
  WeightSource source(checkpoint, {"decoder."}, "");
  if (c.adaptive_cutoffs.empty()) {
    map_plain_tables(source, c, fields, weights);
  } else {
    map_bands(source, c, fields, weights);
  }
  if (c.positions == PositionKind::learned) {
    weights.position_embedding = source.matrix("embed_positions.weight", c.max_positions + c.position_offset, c.d_model);
  }
  if (fields.flag("layernorm_embedding", false)) {
    weights.embedding_norm = source.norm("layernorm_embedding", c.d_model, Bias::required);
  }
  const bool pre_norm = fields.flag("decoder_normalize_before", true);
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    weights.layers.push_back(map_layer(source, "layers." + std::to_string(l) + ".", c, pre_norm));
  }
  if (has_final_norm(checkpoint, fields)) weights.final_norm = source.norm("layer_norm", c.d_model, Bias::required);
  source.finish(weights);
}

}  // namespace

const Family kFairseq{"fairseq_transformer_lm", read_config, map_weights};

}  // namespace ffmem
