// An owned matrix of activations whose rows begin an odd number of cache lines apart. A cache keeps few lines of addresses that
// are a multiple of 4 KiB apart, so rows of 1,024 or 4,096 numbers laid end to end would drive each other out of it.
#pragma once

#include <cassert>
#include <cstddef>

#include "ops/aligned_buffer.hpp"
#include "ops/rounding.hpp"

namespace ffmem {

class RowBuffer {
 public:
  RowBuffer() = default;

  /// Zeros for `rows` rows of `width`, or of fewer numbers. Throws std::bad_alloc.
  RowBuffer(std::size_t rows, std::size_t width) : buffer_(rows * stride(width)) {}

  /// The first rows as a matrix, whose stride may be more than its width. The buffer, which holds them, must outlive the view.
  MatrixView matrix(std::size_t rows, std::size_t width) const {
    assert(holds(rows, width));
    return {buffer_.data(), rows, width, stride(width)};
  }

  /// Whether there is room for so many rows.
  bool holds(std::size_t rows, std::size_t width) const noexcept { return rows * stride(width) <= buffer_.size(); }
  std::size_t bytes() const noexcept { return buffer_.bytes(); }

  /// Those of a buffer for `rows` rows of `width`.
  static constexpr std::size_t bytes(std::size_t rows, std::size_t width) noexcept {
    return rows * stride(width) * sizeof(float);
  }

 private:
  static constexpr std::size_t kLine = 16;  // numbers of a cache line

  static constexpr std::size_t stride(std::size_t width) noexcept { return (ceil_div(width, kLine) | 1U) * kLine; }

  AlignedBuffer buffer_;
};

}  // namespace ffmem
