// A weight matrix as it lies in the checkpoint: any floating type, either orientation, possibly a slice of a larger one.
//
// Logical shape is [rows, cols] = [out, in]: y = x Wᵀ + b. Element (r, c) is at r * row_stride + c * col_stride, so a
// Conv1D matrix stored [in, out] is the same thing with the strides exchanged. A view: the mapping must outlive it.
#pragma once

#include <cstddef>

#include "ops/dtype.hpp"

namespace ffmem {

struct WeightMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;  // f16, bf16, f32 or f64
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t row_stride = 0;  // in elements
  std::size_t col_stride = 0;  // in elements

  bool empty() const noexcept { return data == nullptr; }

  WeightMatrix transposed() const noexcept { return {data, dtype, cols, rows, col_stride, row_stride}; }

  /// Rows [begin, begin + n) as a matrix of their own.
  WeightMatrix row_slice(std::size_t begin, std::size_t n) const noexcept {
    const auto* bytes = static_cast<const std::byte*>(data);
    return {bytes + begin * row_stride * element_bytes(dtype), dtype, n, cols, row_stride, col_stride};
  }
};

/// Copies row `row` of `w` to out[0 .. cols), converted to float32 (f64 rounds to nearest, the others are exact).
void read_row(const WeightMatrix& w, std::size_t row, float* out);

/// Converts n consecutive elements of a floating type to float32.
void convert_to_f32(const void* data, DType dtype, std::size_t n, float* out);

}  // namespace ffmem
