#include "tools/speed/random_checkpoint.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>

#include "ops/aligned_buffer.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

using Kind = ModelShape::Kind;

ModelConfig config_of(const ModelShape& shape) {
  ModelConfig c;
  c.family = shape.kind == Kind::gpt2 ? "gpt2" : shape.kind == Kind::paper ? "fairseq_transformer_lm" : "llama";
  c.n_layers = shape.n_layers;
  c.d_model = c.d_embedding = shape.d_model;
  c.d_memory = shape.d_memory;
  c.vocab_size = shape.vocab_size;
  c.max_positions = shape.max_positions;
  c.n_heads = shape.n_heads;
  c.n_kv_heads = shape.n_kv_heads;
  c.head_dim = shape.d_model / shape.n_heads;
  c.attention_scale.assign(c.n_layers, 1.0F / std::sqrt(static_cast<float>(c.head_dim)));
  c.attention_window.assign(c.n_layers, 0);
  switch (shape.kind) {
    case Kind::gpt2:
      c.activation = Activation::gelu_tanh;
      c.positions = PositionKind::learned;
      break;
    case Kind::paper:
      c.activation = Activation::relu;
      c.positions = PositionKind::sinusoidal;
      c.position_offset = 2;
      c.embedding_scale = std::sqrt(static_cast<float>(c.d_model));
      c.adaptive_cutoffs = shape.adaptive_cutoffs;
      break;
    case Kind::llama:
      c.activation = Activation::silu;
      c.gated = true;
      c.norm = NormKind::rms_norm;
      c.positions = PositionKind::rotary;
      for (std::size_t k = 0; k < c.head_dim / 2; ++k) {
        c.rotary_inv_freq.push_back(std::pow(1e-5F, 2.0F * static_cast<float>(k) / static_cast<float>(c.head_dim)));
      }
      break;
  }
  return c;
}

/// Number `index` of the random sequence `seed`, uniform in [-1, 1) (SplitMix64; Steele, Lea and Flood 2014).
float uniform(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t x = seed * 0xd1342543de82ef95U + index * 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return static_cast<float>(static_cast<std::int32_t>((x ^ (x >> 31)) >> 32)) * 0x1p-31F;
}

/// z with P(N(0, 1) < z) = p.
float normal_quantile(double p) {
  double low = -8.0;
  double high = 8.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
  }
  return static_cast<float>(low);
}

/// Makes the weights one after another. An output of a linear map has variance 1 where its inputs have.
class Maker {
 public:
  explicit Maker(const RandomOptions& options) : options_(options), seed_(options.seed << 20) {}

  /// Stored by row; by_column: [cols, rows] in memory.
  WeightMatrix matrix(std::size_t rows, std::size_t cols, bool by_column = false) {
    const std::size_t n = rows * cols;
    const auto buffer = std::make_shared<AlignedBuffer>(options_.stored == DType::f32 ? n : (n + 1) / 2);
    const float scale = std::sqrt(3.0F / static_cast<float>(cols));
    const std::uint64_t seed = ++seed_;
    float* const floats = buffer->data();
    auto* const halves = reinterpret_cast<std::uint16_t*>(floats);
    const bool f32 = options_.stored == DType::f32;
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < n; ++i) {
      const float value = scale * uniform(seed, i);
      if (f32) {
        floats[i] = value;
      } else {
        halves[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
      }
    }
    owned_.push_back(buffer);
    n_parameters_ += n;
    if (by_column) return {buffer->data(), options_.stored, rows, cols, 1, rows};
    return {buffer->data(), options_.stored, rows, cols, cols, 1};
  }

  LinearWeights linear(std::size_t out, std::size_t in, bool bias, bool by_column = false) {
    if (bias) n_parameters_ += out;
    return {.matrix = matrix(out, in, by_column), .bias = std::vector<float>(bias ? out : 0, 0.0F)};
  }

  NormWeights norm(std::size_t n, bool bias) {
    n_parameters_ += bias ? 2 * n : n;
    return {.present = true, .weight = std::vector<float>(n, 1.0F), .bias = std::vector<float>(bias ? n : 0, 0.0F)};
  }

  void finish(ModelWeights& weights) {
    weights.owned = std::move(owned_);
    weights.n_parameters = n_parameters_;
    weights.stored_dtypes = name(options_.stored);
  }

 private:
  RandomOptions options_;
  std::uint64_t seed_;
  std::size_t n_parameters_ = 0;
  std::vector<std::shared_ptr<const void>> owned_;
};

LinearWeights rows_of(const LinearWeights& all, std::size_t begin, std::size_t n) {
  const auto first = all.bias.begin() + static_cast<std::ptrdiff_t>(begin);
  return {.matrix = all.matrix.row_slice(begin, n), .bias = {first, first + static_cast<std::ptrdiff_t>(n)}};
}

LayerWeights make_layer(Maker& make, const ModelConfig& c, Kind kind) {
  const bool bias = kind != Kind::llama;
  const bool by_column = kind == Kind::gpt2;
  LayerWeights layer;
  layer.attention_in = make.norm(c.d_model, bias);
  layer.ffn_in = make.norm(c.d_model, bias);
  if (kind == Kind::gpt2) {
    const LinearWeights all = make.linear(3 * c.d_model, c.d_model, bias, by_column);
    layer.query = rows_of(all, 0, c.d_model);
    layer.key = rows_of(all, c.d_model, c.d_model);
    layer.value = rows_of(all, 2 * c.d_model, c.d_model);
  } else {
    layer.query = make.linear(c.n_heads * c.head_dim, c.d_model, bias);
    layer.key = make.linear(c.n_kv_heads * c.head_dim, c.d_model, bias);
    layer.value = make.linear(c.n_kv_heads * c.head_dim, c.d_model, bias);
  }
  layer.output = make.linear(c.d_model, c.n_heads * c.head_dim, bias, by_column);
  layer.keys = make.linear(c.d_memory, c.d_model, bias, by_column);
  if (c.gated) layer.ups = make.linear(c.d_memory, c.d_model, false);
  layer.set_values(make.linear(c.d_model, c.d_memory, bias, by_column));
  return layer;
}

/// fairseq's bands with tied tables and projections, each a fourth as wide as the one before.
void make_bands(Maker& make, const ModelConfig& c, ModelWeights& weights) {
  std::size_t first = 0;
  std::size_t width = c.d_model;
  for (std::size_t b = 0; b <= c.adaptive_cutoffs.size(); ++b, width /= 4) {
    const std::size_t end = b < c.adaptive_cutoffs.size() ? c.adaptive_cutoffs[b] : c.vocab_size;
    AdaptiveBand band;
    band.table = make.matrix(end - first, width);
    band.in_projection = make.matrix(c.d_model, width);
    if (b > 0) band.out_projection = band.in_projection.transposed();
    weights.bands.push_back(band);
    first = end;
  }
  weights.band_head = make.matrix(c.adaptive_cutoffs.size(), c.d_model);
}

void check(const RandomOptions& options, const ModelConfig& config) {
  if (options.stored != DType::f32 && options.stored != DType::bf16) {
    fail(ErrorCode::argument_invalid, "a random checkpoint is stored as F32 or BF16, not as ", name(options.stored));
  }
  if (!options.activity) return;
  if (!(*options.activity > 0.0 && *options.activity <= 1.0)) {
    fail(ErrorCode::argument_invalid, "activity: expected a number above 0 and at most 1, found ", *options.activity);
  }
  if (config.activation != Activation::relu || config.gated) {
    fail(ErrorCode::argument_invalid, "activity: this shape's layers are not plain ReLU layers, which \"paper\" has");
  }
}

}  // namespace

const std::vector<ModelShape>& known_shapes() {
  static const std::vector<ModelShape> shapes = {
      {"gpt2", Kind::gpt2, 12, 768, 3072, 12, 12, 50257, 1024},
      {"gpt2-medium", Kind::gpt2, 24, 1024, 4096, 16, 16, 50257, 1024},
      {"gpt2-large", Kind::gpt2, 36, 1280, 5120, 20, 20, 50257, 1024},
      {"paper", Kind::paper, 16, 1024, 4096, 8, 8, 267744, 3072, {20000, 60000}},
      {"paper-plain", Kind::paper, 16, 1024, 4096, 8, 8, 267744, 3072},
      {"llama-135m", Kind::llama, 30, 576, 1536, 9, 3, 49152, 8192},
      {"llama-360m", Kind::llama, 32, 960, 2560, 15, 5, 49152, 8192},
      {"llama-1b", Kind::llama, 16, 2048, 8192, 32, 8, 128256, 131072},
  };
  return shapes;
}

const ModelShape& find_shape(std::string_view name) {
  std::string known;
  for (const ModelShape& shape : known_shapes()) {
    if (shape.name == name) return shape;
    known.append(known.empty() ? "" : ", ").append(shape.name);
  }
  fail(ErrorCode::argument_invalid, "shape: expected one of ", known, ", found \"", name, '"');
}

LoadedCheckpoint random_checkpoint(const ModelShape& shape, const RandomOptions& options) {
  LoadedCheckpoint result{.config = config_of(shape), .weights = {}};
  const ModelConfig& c = result.config;
  ModelWeights& weights = result.weights;
  check(options, c);
  Maker make(options);
  if (!c.adaptive_cutoffs.empty()) {
    make_bands(make, c, weights);
  } else {
    weights.token_embedding = make.matrix(c.vocab_size, c.d_model);
    weights.head = {.matrix = weights.token_embedding, .bias = {}};
  }
  if (shape.kind == Kind::gpt2) weights.position_embedding = make.matrix(c.max_positions, c.d_model);
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    weights.layers.push_back(make_layer(make, c, shape.kind));
    // A score of normed inputs is N(0, 1) before the bias.
    if (options.activity) std::ranges::fill(weights.layers.back().keys.bias, normal_quantile(*options.activity));
  }
  if (shape.kind != Kind::paper) weights.final_norm = make.norm(c.d_model, shape.kind == Kind::gpt2);
  make.finish(weights);
  return result;
}

}  // namespace ffmem::tools
