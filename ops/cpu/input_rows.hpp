// Weights for inputs that may be mostly zeros, as the coefficients of a ReLU layer are: input by input, each as one piece of
// memory with all its outputs, so that few rows read no more than the active inputs' weights (kernels/sparse_matmul.hpp).
#pragma once

#include <mutex>

#include "ops/cpu/cpu_matrix.hpp"

namespace ffmem {

/// Float32 products, by weights held as bf16 where the checkpoint stores that.
class InputRows final : public CpuMatrix {
 public:
  /// Copies `w` with all threads. Throws std::bad_alloc.
  explicit InputRows(const WeightMatrix& w);

  MatmulKernel kernel(const MatmulKernels& kernels, std::size_t /*n_rows*/) const noexcept override {
    return holds_bf16_ ? kernels.f32_by_bf16_rows : kernels.f32_by_rows;
  }

  /// Backend::matmul of at most kMaxSparseRows rows, each weight that some row needs read once.
  void multiply_few(const MatmulKernels& kernels, ConstMatrixView x, const float* bias, MatrixView y) const;

 private:
  // Whether zeros among the inputs may be left out: no weight is infinite or NaN. All are read for it, once, when it is first
  // asked.
  bool may_skip_zeros() const;

  bool holds_bf16_;
  std::size_t row_bytes_;
  mutable std::once_flag looked_at_;
  mutable bool finite_ = false;
};

}  // namespace ffmem
