#include "runtime/check_checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "ops/error.hpp"

namespace ffmem {
namespace {

template <class... Found>
void expect(bool holds, std::string_view what, const Found&... found) {
  if (!holds) fail(ErrorCode::config_invalid, "checkpoint: its configuration: expected ", what, found...);
}

/// `name` of at least 1.
void expect_some(std::string_view name, std::size_t found) { expect(found != 0, name, " of at least 1, found 0"); }

/// A list called `name` of `wanted` numbers.
void expect_size(std::string_view name, std::size_t wanted, std::size_t found) {
  expect(found == wanted, name, " of ", wanted, " numbers, found ", found);
}

void expect_finite(std::string_view name, std::span<const float> values) {
  for (const float value : values) expect(std::isfinite(value), name, " of finite numbers, found ", value);
}

void expect_softcap(std::string_view name, float found) {
  expect(std::isfinite(found) && found >= 0.0F, name, " to be finite and at least 0, found ", found);
}

void check_attention(const ModelConfig& c) {
  expect_some("n_heads", c.n_heads);
  expect_some("n_kv_heads", c.n_kv_heads);
  expect_some("head_dim", c.head_dim);
  expect(c.n_heads % c.n_kv_heads == 0, "n_heads to be a multiple of n_kv_heads, found ", c.n_heads, " and ", c.n_kv_heads);
  expect_size("attention_scale", c.n_layers, c.attention_scale.size());
  expect_size("attention_window", c.n_layers, c.attention_window.size());
  expect_finite("attention_scale", c.attention_scale);
}

void check_positions(const ModelConfig& c) {
  const bool looked_up = c.positions == PositionKind::learned || c.positions == PositionKind::sinusoidal;
  expect(c.position_offset == 0 || looked_up, "no position_offset but for learned and sinusoidal positions, found ",
         c.position_offset);
  expect(c.max_positions <= SIZE_MAX - c.position_offset, "max_positions + position_offset to fit 64 bits, found ",
         c.max_positions, " and ", c.position_offset);
  expect(c.rotary_inv_freq.empty() == (c.positions != PositionKind::rotary),
         "rotary_inv_freq for rotary positions, and for no others, found ", c.rotary_inv_freq.size(), " numbers");
  expect(2 * c.rotary_inv_freq.size() <= c.head_dim, "rotary_inv_freq of at most head_dim / 2 numbers, found ",
         c.rotary_inv_freq.size(), " and a head_dim of ", c.head_dim);
  expect_finite("rotary_inv_freq", c.rotary_inv_freq);
  expect_size("alibi_slopes", c.positions == PositionKind::alibi ? c.n_heads : 0, c.alibi_slopes.size());
}

void check_config(const ModelConfig& c) {
  expect_some("n_layers", c.n_layers);
  expect_some("d_model", c.d_model);
  expect_some("d_memory", c.d_memory);
  expect_some("d_embedding", c.d_embedding);
  expect_some("vocab_size", c.vocab_size);
  check_attention(c);
  check_positions(c);
  expect(c.norm_epsilon >= 0.0F && c.norm_epsilon < 1.0F, "norm_epsilon from 0 to below 1, found ", c.norm_epsilon);
  expect(std::isfinite(c.embedding_scale), "embedding_scale to be finite, found ", c.embedding_scale);
  expect_softcap("attention_softcap", c.attention_softcap);
  expect_softcap("final_softcap", c.final_softcap);
  std::size_t first = 0;
  for (const std::size_t cutoff : c.adaptive_cutoffs) {
    expect(cutoff > first && cutoff < c.vocab_size, "adaptive_cutoffs that ascend from 1 to below vocab_size, ", c.vocab_size,
           ", found ", cutoff, " behind ", first);
    first = cutoff;
  }
}

/// Weights of one part of a model, by their names in messages.
class Part {
 public:
  explicit Part(std::string name) : name_(std::move(name)) {}

  void matrix(const char* what, const WeightMatrix& w, std::size_t rows, std::size_t cols) const {
    if (w.empty()) fail(ErrorCode::tensor_missing, name_, what, ": expected [", rows, ", ", cols, "], found none");
    if (w.rows != rows || w.cols != cols) {
      fail(ErrorCode::tensor_shape, name_, what, ": expected [", rows, ", ", cols, "], found [", w.rows, ", ", w.cols, "]");
    }
    if (!is_floating(w.dtype)) {
      fail(ErrorCode::tensor_dtype, name_, what, ": expected F32, BF16, F16 or F64, found ", ffmem::name(w.dtype));
    }
  }

  /// `size` numbers or none.
  void vector(std::string_view what, const std::vector<float>& values, std::size_t size) const {
    if (values.empty() || values.size() == size) return;
    fail(ErrorCode::tensor_shape, name_, what, ": expected [", size, "], found [", values.size(), "]");
  }

  /// What nothing would read.
  void no_vector(std::string_view what, const std::vector<float>& values, const char* why) const {
    if (!values.empty()) fail(ErrorCode::tensor_shape, name_, what, ": expected none, ", why, ", found [", values.size(), "]");
  }

  void linear(const char* what, const LinearWeights& w, std::size_t out, std::size_t in) const {
    matrix(what, w.matrix, out, in);
    vector(what, w.bias, out);
  }

  void norm(const std::string& what, const NormWeights& w, NormKind kind, std::size_t size) const {
    if (!w.present) return no_norm(what, w);
    vector(what, w.weight, size);
    if (kind == NormKind::rms_norm) return no_vector(what + "'s bias", w.bias, "as RMS norms have none");
    vector(what, w.bias, size);
  }

  /// A norm of each head by itself, or of all heads together.
  void head_norm(const std::string& what, const NormWeights& w, std::size_t head_dim, std::size_t n_heads) const {
    if (!w.present) return no_norm(what, w);
    no_vector(what + "'s bias", w.bias, "as norms of heads have none");
    if (w.weight.size() == head_dim || w.weight.size() == n_heads * head_dim) return;
    fail(ErrorCode::tensor_shape, name_, what, ": expected [", head_dim, "] or [", n_heads * head_dim, "], found [",
         w.weight.size(), "]");
  }

 private:
  void no_norm(const std::string& what, const NormWeights& w) const {
    no_vector(what + "'s weight", w.weight, "as the norm is not present");
    no_vector(what + "'s bias", w.bias, "as the norm is not present");
  }

  std::string name_;
};

void check_layer(const Part& part, const ModelConfig& c, const LayerWeights& w) {
  part.norm("attention_in norm", w.attention_in, c.norm, c.d_model);
  part.norm("attention_out norm", w.attention_out, c.norm, c.d_model);
  part.norm("attention_residual norm", w.attention_residual, c.norm, c.d_model);
  part.norm("ffn_in norm", w.ffn_in, c.norm, c.d_model);
  part.norm("ffn_out norm", w.ffn_out, c.norm, c.d_model);
  part.norm("ffn_residual norm", w.ffn_residual, c.norm, c.d_model);
  part.linear("query", w.query, c.n_heads * c.head_dim, c.d_model);
  part.linear("key", w.key, c.n_kv_heads * c.head_dim, c.d_model);
  part.linear("value", w.value, c.n_kv_heads * c.head_dim, c.d_model);
  part.linear("output", w.output, c.d_model, c.n_heads * c.head_dim);
  part.head_norm("query norm", w.query_norm, c.head_dim, c.n_heads);
  part.head_norm("key norm", w.key_norm, c.head_dim, c.n_kv_heads);
  part.linear("keys", w.keys, c.d_memory, c.d_model);
  expect(c.gated || (w.ups.empty() && w.ups.bias.empty()), "gated layers where there are ups");
  if (c.gated) part.linear("ups", w.ups, c.d_memory, c.d_model);
  part.matrix("values", w.values, c.d_memory, c.d_model);
  part.vector("values' bias", w.values_bias, c.d_model);
}

void check_bands(const ModelConfig& c, const ModelWeights& w) {
  expect(w.head_projection.empty(), "no head projection before an adaptive softmax");
  std::size_t first = 0;
  for (std::size_t b = 0; b < w.bands.size(); ++b) {
    const Part part(concat("checkpoint: band ", b, ": "));
    const AdaptiveBand& band = w.bands[b];
    const std::size_t end = b < c.adaptive_cutoffs.size() ? c.adaptive_cutoffs[b] : c.vocab_size;
    part.matrix("table", band.table, end - first, std::min(band.table.cols, c.d_embedding));
    part.matrix("projection in", band.in_projection, c.d_model, band.table.cols);
    const WeightMatrix& out = band.out_table.empty() ? band.table : band.out_table;
    const std::size_t width = band.out_projection.empty() ? c.d_model : std::min(out.cols, c.d_model);
    part.matrix("softmax table", out, end - first, width);
    if (!band.out_projection.empty()) part.matrix("projection out", band.out_projection, width, c.d_model);
    first = end;
  }
  Part("checkpoint: ").matrix("band head", w.band_head, c.adaptive_cutoffs.size(), c.d_model);
}

void check_plain_tables(const Part& part, const ModelConfig& c, const ModelWeights& w) {
  part.matrix("token embedding", w.token_embedding, c.vocab_size, c.d_embedding);
  const bool projects = c.d_embedding != c.d_model;
  expect(projects || (w.embedding_projection.empty() && w.embedding_projection.bias.empty()),
         "a width of its own for an embedding that is projected");
  if (projects) part.linear("embedding projection", w.embedding_projection, c.d_model, c.d_embedding);
  const WeightMatrix& projection = w.head_projection.matrix;
  if (projection.empty()) part.no_vector("head projection's bias", w.head_projection.bias, "as there is no projection");
  if (!projection.empty()) part.linear("head projection", w.head_projection, projection.rows, c.d_model);
  part.linear("head", w.head, c.vocab_size, projection.empty() ? c.d_model : projection.rows);
}

}  // namespace

void check_checkpoint(const LoadedCheckpoint& checkpoint) {
  const ModelConfig& c = checkpoint.config;
  const ModelWeights& w = checkpoint.weights;
  check_config(c);
  const std::size_t n_bands = c.adaptive_cutoffs.empty() ? 0 : c.adaptive_cutoffs.size() + 1;
  if (w.layers.size() != c.n_layers || w.bands.size() != n_bands) {
    fail(ErrorCode::tensor_missing, "checkpoint: expected ", c.n_layers, " layers and ", n_bands, " bands, found ",
         w.layers.size(), " and ", w.bands.size());
  }
  const Part part("checkpoint: ");
  if (n_bands == 0) {
    expect(w.band_head.empty(), "cutoffs where there is a band head");
    check_plain_tables(part, c, w);
  } else {
    check_bands(c, w);
  }
  expect(w.position_embedding.empty() || c.positions == PositionKind::learned,
         "a position embedding for learned positions alone");
  if (c.positions == PositionKind::learned) {
    part.matrix("position embedding", w.position_embedding, c.max_positions + c.position_offset, c.d_model);
  }
  part.norm("embedding norm", w.embedding_norm, c.norm, c.d_model);
  part.norm("final norm", w.final_norm, c.norm, c.d_model);
  for (std::size_t l = 0; l < c.n_layers; ++l) check_layer(Part(concat("checkpoint: layer ", l, ": ")), c, w.layers[l]);
}

}  // namespace ffmem
