// What the operator tests share: random matrices with odd strides, the backends of every instruction set, comparisons.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops/backend.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/scalar/scalar_backend.hpp"

namespace ffmem::test {

/// A matrix in a vector, its rows `gap` unused elements apart.
struct Matrix {
  std::vector<float> data;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  Matrix(std::size_t rows_, std::size_t cols_, std::size_t gap = 0)
      : data(rows_ * (cols_ + gap) + 1), rows(rows_), cols(cols_), stride(cols_ + gap) {}

  MatrixView view() { return {data.data(), rows, cols, stride}; }
  ConstMatrixView view() const { return {data.data(), rows, cols, stride}; }
  float* row(std::size_t t) { return data.data() + t * stride; }
  const float* row(std::size_t t) const { return data.data() + t * stride; }
};

inline void fill_normal(std::vector<float>& values, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  for (float& value : values) value = normal(generator);
}

inline std::vector<float> normal_values(std::size_t n, unsigned seed, float scale = 1.0F) {
  std::vector<float> values(n);
  fill_normal(values, seed, scale);
  return values;
}

inline Matrix normal_matrix(std::size_t rows, std::size_t cols, unsigned seed, std::size_t gap = 0) {
  Matrix m(rows, cols, gap);
  fill_normal(m.data, seed);
  return m;
}

inline Matrix product(const Backend& backend, ConstMatrixView x, const PreparedMatrix& w, const float* bias) {
  Matrix y(x.rows, w.rows(), 3);
  backend.matmul(x, w, bias, y.view());
  return y;
}

inline const Backend& scalar() {
  static const std::shared_ptr<const Backend> backend = make_scalar_backend();
  return *backend;
}

/// Runs f(backend) for every instruction set of this machine, naming it in failures.
template <class F>
void for_each_isa(F f) {
  for (const std::string& isa : available_isas()) {
    CAPTURE(isa);
    f(*make_cpu_backend(isa));
  }
}

/// |found - expected| <= absolute + relative |expected| everywhere; the same NaNs and infinities. Reports the worst element.
inline void check_close(ConstMatrixView found, ConstMatrixView expected, double relative, double absolute) {
  REQUIRE(found.rows == expected.rows);
  REQUIRE(found.cols == expected.cols);
  double worst = 0;
  std::size_t row = 0;
  std::size_t col = 0;
  for (std::size_t t = 0; t < found.rows; ++t) {
    for (std::size_t i = 0; i < found.cols; ++i) {
      const double f = found.row(t)[i];
      const double e = expected.row(t)[i];
      if (f == e || (std::isnan(f) && std::isnan(e))) continue;
      double excess = std::fabs(f - e) / (absolute + relative * std::fabs(e));
      if (std::isnan(excess)) excess = INFINITY;
      if (excess > worst) {
        worst = excess;
        row = t;
        col = i;
      }
    }
  }
  if (worst <= 1) return;
  CAPTURE(row);
  CAPTURE(col);
  const float found_value = found.row(row)[col];
  const float expected_value = expected.row(row)[col];
  CAPTURE(found_value);
  CAPTURE(expected_value);
  CAPTURE(worst);
  CHECK_MESSAGE(false, "outside the tolerance, by this factor");
}

inline bool same_bits(const float* a, const float* b, std::size_t n) { return std::memcmp(a, b, n * sizeof(float)) == 0; }

inline bool same_bits(const Matrix& a, const Matrix& b) {
  for (std::size_t t = 0; t < a.rows; ++t) {
    if (!same_bits(a.row(t), b.row(t), a.cols)) return false;
  }
  return a.rows == b.rows && a.cols == b.cols;
}

/// Lengths around the edges of 4, 8 and 16 lanes and their multiples.
inline std::vector<std::size_t> edge_lengths() {
  std::vector<std::size_t> lengths;
  for (std::size_t n = 1; n <= 35; ++n) lengths.push_back(n);
  for (const std::size_t n : {47, 48, 49, 63, 64, 65, 127, 128, 129, 255, 256, 257, 768}) lengths.push_back(n);
  return lengths;
}

}  // namespace ffmem::test
