// What the scalar backend and oneDNN multiply by: float32 values with one stride equal to 1, in the checkpoint's
// mapping where they lie there so, in a converted copy of the same orientation otherwise.
#pragma once

#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"

namespace ffmem {

class F32Matrix final : public PreparedMatrix {
 public:
  /// `w` must outlive the result where it is used in place: float32, aligned to 4 bytes, a stride of 1.
  explicit F32Matrix(const WeightMatrix& w);

  std::size_t rows() const noexcept override { return rows_; }
  std::size_t cols() const noexcept override { return cols_; }
  std::size_t owned_bytes() const noexcept override { return copy_.bytes(); }

  /// Element (r, c) is at data()[r * row_stride() + c * col_stride()].
  const float* data() const noexcept { return data_; }
  std::size_t row_stride() const noexcept { return row_stride_; }
  std::size_t col_stride() const noexcept { return col_stride_; }

 private:
  std::size_t rows_;
  std::size_t cols_;
  std::size_t row_stride_;
  std::size_t col_stride_;
  AlignedBuffer copy_;
  const float* data_;
};

}  // namespace ffmem
