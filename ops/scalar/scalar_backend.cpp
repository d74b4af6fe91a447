#include "ops/scalar/scalar_backend.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "ops/f32_matrix.hpp"
#include "ops/scalar/scalar_activation.hpp"
#include "ops/scalar/scalar_attention.hpp"
#include "ops/scalar/scalar_quantised.hpp"

namespace ffmem {
namespace {

// Replaces every element by f of it.
template <class F>
void transform(MatrixView x, F f) {
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (float& value : x.row(t)) value = f(value);
  }
}

// x = f(x, y) elementwise.
template <class F>
void combine(MatrixView x, ConstMatrixView y, F f) {
  assert(x.rows == y.rows && x.cols == y.cols);
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (std::size_t i = 0; i < x.cols; ++i) x.row(t)[i] = f(x.row(t)[i], y.row(t)[i]);
  }
}

struct Element {
  float value;
  std::uint32_t index;
};

// Whether a comes before b: larger first, then by index; NaN last.
bool ranks_before(const Element& a, const Element& b) {
  const bool a_is_nan = std::isnan(a.value);
  const bool b_is_nan = std::isnan(b.value);
  if (a_is_nan != b_is_nan) return b_is_nan;
  if (!a_is_nan && a.value != b.value) return a.value > b.value;
  return a.index < b.index;
}

void multiply_f32(ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y) {
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (std::size_t o = 0; o < w.rows(); ++o) {
      double sum = bias != nullptr ? bias[o] : 0;
      const float* weights = w.data() + o * w.row_stride();
      for (std::size_t i = 0; i < w.cols(); ++i) sum += static_cast<double>(x.row(t)[i]) * weights[i * w.col_stride()];
      y.row(t)[o] = static_cast<float>(sum);
    }
  }
}

class ScalarBackend final : public Backend {
 public:
  std::string description() const override { return "scalar"; }

  std::unique_ptr<const PreparedMatrix> prepare(const WeightMatrix& w, WeightFormat format, Inputs) const override {
    if (format != WeightFormat::f32) return make_scalar_quantised(w, format);
    return std::make_unique<F32Matrix>(w);
  }

  void matmul(ConstMatrixView x, std::span<const Product> products) const override {
    for (const auto& [w, bias, y, then] : products) {
      assert(x.cols == w.cols() && y.cols == w.rows() && x.rows == y.rows);
      if (w.format() == WeightFormat::f32) {
        multiply_f32(x, dynamic_cast<const F32Matrix&>(w), bias, y);
      } else {
        scalar_quantised_matmul(x, w, bias, y);
      }
      activate(then.activation, y);
      if (then.sum.data != nullptr) add(then.sum, y);
    }
  }

  void gather_rows(const WeightMatrix& table, std::span<const TokenId> ids, MatrixView out) const override {
    assert(ids.size() == out.rows && table.cols == out.cols);
    for (std::size_t t = 0; t < ids.size(); ++t) read_row(table, static_cast<std::size_t>(ids[t]), out.row_data(t));
  }

  void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float epsilon, MatrixView y) const override {
    const auto n = static_cast<double>(x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
      const std::span<const float> in = x.row(t);
      const double mean = std::accumulate(in.begin(), in.end(), 0.0) / n;
      double variance = 0;
      for (const float value : in) variance += (value - mean) * (value - mean) / n;
      const double factor = 1 / std::sqrt(variance + epsilon);
      for (std::size_t i = 0; i < x.cols; ++i) {
        const double w = weight != nullptr ? weight[i] : 1;
        const double b = bias != nullptr ? bias[i] : 0;
        y.row(t)[i] = static_cast<float>((in[i] - mean) * factor * w + b);
      }
    }
  }

  void rms_norm(ConstMatrixView x, const float* weight, float epsilon, std::size_t group, MatrixView y) const override {
    assert(group != 0 && x.cols % group == 0);
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (std::size_t begin = 0; begin < x.cols; begin += group) {
        const std::span<const float> in = x.row(t).subspan(begin, group);
        const double squares =
            std::inner_product(in.begin(), in.end(), in.begin(), 0.0, std::plus<>(), [](double a, double b) { return a * b; });
        const double factor = 1 / std::sqrt(squares / static_cast<double>(group) + epsilon);
        for (std::size_t i = 0; i < group; ++i) {
          const double w = weight != nullptr ? weight[i] : 1;
          y.row(t)[begin + i] = static_cast<float>(in[i] * factor * w);
        }
      }
    }
  }

  void activate(Activation activation, MatrixView x) const override {
    transform(x, [activation](float value) { return static_cast<float>(activation_value(activation, value)); });
  }

  void add(MatrixView x, ConstMatrixView y) const override { combine(x, y, std::plus<>()); }

  void multiply(MatrixView x, ConstMatrixView y) const override { combine(x, y, std::multiplies<>()); }

  void scale(MatrixView x, float factor) const override {
    transform(x, [factor](float value) { return value * factor; });
  }

  void softcap(MatrixView x, float cap) const override {
    const double c = cap;
    transform(x, [c](float value) { return static_cast<float>(c * std::tanh(value / c)); });
  }

  void rotary(MatrixView x, std::size_t head_dim, std::span<const std::uint32_t> positions,
              const RotaryTable& table) const override {
    assert(positions.size() == x.rows && table.rotary_dim <= head_dim && x.cols % head_dim == 0);
    const std::size_t half = table.rotary_dim / 2;
    const bool pairs = table.layout == RotaryLayout::pairs;
    for (std::size_t t = 0; t < x.rows; ++t) {
      for (std::size_t begin = 0; begin < x.cols; begin += head_dim) {
        float* head = x.row_data(t) + begin;
        for (std::size_t k = 0; k < half; ++k) {
          float& a = head[pairs ? 2 * k : k];
          float& b = head[pairs ? 2 * k + 1 : k + half];
          const double c = table.cos[positions[t] * half + k];
          const double s = table.sin[positions[t] * half + k];
          const double turned = a * c - b * s;
          b = static_cast<float>(b * c + a * s);
          a = static_cast<float>(turned);
        }
      }
    }
  }

  void append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                 std::span<const SequenceRows> sequences) const override {
    scalar_append_kv(shape, k, v, sequences);
  }

  void attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences,
                 MatrixView out) const override {
    scalar_attention(shape, q, sequences, out);
  }

  void log_sum_exp(ConstMatrixView x, float* out, float* largest) const override {
    for (std::size_t t = 0; t < x.rows; ++t) {
      const std::span<const float> row = x.row(t);
      const float most = *std::max_element(row.begin(), row.end());
      if (largest != nullptr) largest[t] = most;
      if (std::isinf(most)) {  // inf - inf below would be NaN
        out[t] = std::ranges::any_of(row, [](float value) { return std::isnan(value); }) ? std::nanf("") : most;
        continue;
      }
      double sum = 0;
      for (const float value : row) sum += std::exp(static_cast<double>(value) - static_cast<double>(most));
      out[t] = static_cast<float>(static_cast<double>(most) + std::log(sum));
    }
  }

  void top_k(ConstMatrixView x, std::size_t k, std::uint32_t* indices, float* values, std::size_t first,
             const float* /*largest*/) const override {
    std::vector<Element> elements;
    for (std::size_t t = 0; t < x.rows; ++t) {
      elements.clear();
      for (std::size_t i = t * k; i < t * k + std::min(k, first); ++i) elements.push_back({values[i], indices[i]});
      for (std::size_t j = 0; j < x.cols; ++j) elements.push_back({x.row(t)[j], static_cast<std::uint32_t>(first + j)});
      const std::size_t n = std::min(k, elements.size());
      std::partial_sort(elements.begin(), elements.begin() + static_cast<std::ptrdiff_t>(n), elements.end(), ranks_before);
      for (std::size_t i = 0; i < n; ++i) {
        indices[t * k + i] = elements[i].index;
        values[t * k + i] = elements[i].value;
      }
    }
  }

  void keep_larger(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels) const override {
    for (std::size_t i = 0; i < n; ++i) {
      if (!(x[i] > largest[i])) continue;
      largest[i] = x[i];
      labels[i] = label;
    }
  }

  std::size_t find_above(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices) const override {
    std::size_t found = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (x[i] > threshold[i]) indices[found++] = static_cast<std::uint32_t>(i);
    }
    return found;
  }

  void softmax_change(const SoftmaxTerms& terms, SoftmaxChange& change) const override {
    for (std::size_t w = 0; w < terms.n; ++w) {
      const float delta = terms.a * terms.o[w] + terms.b * terms.u[w];
      const auto p = static_cast<double>(terms.p[w]);
      const auto x = static_cast<double>(delta);
      change.linear += p * x;
      change.remainder += p * (std::expm1(x) - x);
      change.largest = std::max(change.largest, std::abs(delta));
      if (terms.logits[w] + delta > change.best) {
        change.best = terms.logits[w] + delta;
        change.best_word = terms.first + w;
      }
    }
  }
};

}  // namespace

std::shared_ptr<const Backend> make_scalar_backend() { return std::make_shared<ScalarBackend>(); }

}  // namespace ffmem
