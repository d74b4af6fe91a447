#include "ops/scalar/scalar_quantised.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ops/quantise.hpp"
#include "ops/rounding.hpp"

namespace ffmem {
namespace {

// Whole numbers (bf16: the rounded weights) and each group's scale and minimum. bf16 is one group with neither.
class ScalarQuantised final : public PreparedMatrix {
 public:
  ScalarQuantised(const WeightMatrix& w, WeightFormat format) : format_(format), rows_(w.rows), cols_(w.cols) {
    std::vector<float> row(cols_);
    for (std::size_t o = 0; o < rows_; ++o) {
      read_row(w, o, row.data());
      if (format == WeightFormat::bf16) {
        for (const float x : row) numbers_.push_back(f32_from_bf16(bf16_from_f32(x)));
      } else {
        for (std::size_t i = 0; i < cols_; i += group_size(format)) {
          add_group(row.data() + i, std::min(group_size(format), cols_ - i));
        }
      }
    }
  }

  std::size_t rows() const noexcept override { return rows_; }
  std::size_t cols() const noexcept override { return cols_; }
  WeightFormat format() const noexcept override { return format_; }
  std::size_t owned_bytes() const noexcept override {
    return (numbers_.size() + scales_.size() + minima_.size()) * sizeof(float);
  }

  float dot_bf16(const std::vector<float>& x, std::size_t o) const {
    float sum = 0;
    for (std::size_t i = 0; i < cols_; ++i) sum = std::fma(x[i], numbers_[o * cols_ + i], sum);
    return sum;
  }

  float dot_groups(const std::vector<std::int8_t>& p, const std::vector<float>& x_scales, std::size_t o) const {
    const std::size_t size = group_size(format_);
    float total = 0;
    for (std::size_t g = 0; g < x_scales.size(); ++g) {
      std::int32_t dot = 0;
      std::int32_t sum = 0;
      for (std::size_t i = g * size; i < std::min((g + 1) * size, cols_); ++i) {
        dot += p[i] * static_cast<std::int32_t>(numbers_[o * cols_ + i]);
        sum += p[i];
      }
      const std::size_t group = o * x_scales.size() + g;
      total = std::fma(static_cast<float>(dot) * x_scales[g], scales_[group], total);
      if (format_ == WeightFormat::int4) total = std::fma(static_cast<float>(sum) * x_scales[g], minima_[group], total);
    }
    return total;
  }

 private:
  void add_group(const float* x, std::size_t n) {
    if (format_ == WeightFormat::int8) {
      std::int8_t q[kInt8Group];
      scales_.push_back(quantise_int8(x, n, q));
      numbers_.insert(numbers_.end(), q, q + n);
    } else {
      std::uint8_t q[kInt4Group];
      const Int4Scale group = quantise_int4(x, n, q);
      scales_.push_back(f32_from_bf16(group.scale));
      minima_.push_back(f32_from_bf16(group.minimum));
      numbers_.insert(numbers_.end(), q, q + n);
    }
  }

  WeightFormat format_;
  std::size_t rows_;
  std::size_t cols_;
  std::vector<float> numbers_;  // [rows, cols]
  std::vector<float> scales_;   // [rows, groups]
  std::vector<float> minima_;   // [rows, groups], int4
};

}  // namespace

std::unique_ptr<const PreparedMatrix> make_scalar_quantised(const WeightMatrix& w, WeightFormat format) {
  return std::make_unique<ScalarQuantised>(w, format);
}

void scalar_quantised_matmul(ConstMatrixView x, const PreparedMatrix& prepared, const float* bias, MatrixView y) {
  const auto& w = dynamic_cast<const ScalarQuantised&>(prepared);
  const std::size_t size = group_size(w.format());
  std::vector<float> rounded(x.cols);
  std::vector<std::int8_t> p(x.cols);
  std::vector<float> scales(size == 0 ? 0 : ceil_div(x.cols, size));
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* row = x.row_data(t);
    std::transform(row, row + x.cols, rounded.begin(), [](float v) { return f32_from_bf16(bf16_from_f32(v)); });
    for (std::size_t g = 0; g < scales.size(); ++g) {
      scales[g] = quantise_int8(row + g * size, std::min(size, x.cols - g * size), p.data() + g * size);
    }
    for (std::size_t o = 0; o < w.rows(); ++o) {
      const float sum = size == 0 ? w.dot_bf16(rounded, o) : w.dot_groups(p, scales, o);
      y.row(t)[o] = bias == nullptr ? sum : sum + bias[o];
    }
  }
}

}  // namespace ffmem
