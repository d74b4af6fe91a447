// What the matrices that this folder's kernels multiply by have in common: a copy of the weights in lines of 64 bytes, in one
// of the orders of ops/cpu/matmul_kernels.hpp; nothing of the checkpoint is kept.
#pragma once

#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"
#include "ops/cpu/matmul_kernels.hpp"
#include "ops/rounding.hpp"

namespace ffmem {

/// Outputs [begin, end), which begin with a panel.
struct OutputRange {
  std::size_t begin;
  std::size_t end;
  WeightLines lines;
};

class CpuMatrix : public PreparedMatrix {
 public:
  std::size_t rows() const noexcept override { return rows_; }
  std::size_t cols() const noexcept override { return cols_; }
  WeightFormat format() const noexcept override { return format_; }
  std::size_t owned_bytes() const noexcept override { return buffer_.bytes(); }

  /// The product by these weights for n_rows rows; the number changes no bit.
  virtual MatmulKernel kernel(const MatmulKernels& kernels, std::size_t n_rows) const noexcept = 0;

  /// Groups of inputs that share a scale; 0 for the formats without.
  std::size_t n_groups() const noexcept;

  /// Into how many parts the outputs can be cut so that kernels find whole groups of `together` panels.
  std::size_t most_parts(std::size_t together) const noexcept { return ceil_div(n_panels(), together); }
  /// Part `part` of `parts`, at most most_parts(together), about equal ones.
  OutputRange outputs(std::size_t part, std::size_t parts, std::size_t together) const noexcept;

 protected:
  CpuMatrix(const WeightMatrix& w, WeightFormat format) : format_(format), rows_(w.rows), cols_(w.cols) {}

  std::size_t n_panels() const noexcept { return ceil_div(rows_, kLanes); }
  /// Room for the lines, zeros, which lie as `panel_stride` and `line_stride` say. Throws std::bad_alloc.
  void allocate(std::size_t n_bytes, std::size_t panel_stride, std::size_t line_stride);
  const AlignedBuffer& buffer() const noexcept { return buffer_; }

 private:
  WeightFormat format_;
  std::size_t rows_;
  std::size_t cols_;
  AlignedBuffer buffer_;
  WeightLines lines_{};
};

}  // namespace ffmem
