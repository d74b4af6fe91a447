// Weights of any format in the one order that the kernels of ops/cpu/matmul_kernels.hpp read for any number of rows. A copy:
// nothing of the checkpoint is kept.
#pragma once

#include <mutex>

#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"
#include "ops/cpu/matmul_kernels.hpp"

namespace ffmem {

/// Outputs [begin, end), which begin with a panel.
struct OutputRange {
  std::size_t begin;
  std::size_t end;
  const std::byte* panels;
};

class PackedMatrix final : public PreparedMatrix {
 public:
  /// Packs `w` with all threads. `inputs` says what it will be multiplied with. Throws std::bad_alloc.
  PackedMatrix(const WeightMatrix& w, WeightFormat format, Inputs inputs);

  std::size_t rows() const noexcept override { return rows_; }
  std::size_t cols() const noexcept override { return cols_; }
  WeightFormat format() const noexcept override { return format_; }
  std::size_t owned_bytes() const noexcept override { return buffer_.bytes(); }

  /// Into how many parts the outputs can be cut so that kernels find whole groups of panels.
  std::size_t most_parts() const noexcept { return (n_panels() + kPanelsTogether - 1) / kPanelsTogether; }
  /// Part `part` of `parts`, at most most_parts(), about equal ones.
  OutputRange outputs(std::size_t part, std::size_t parts) const noexcept;

  /// Groups of inputs that share a scale; 0 for f32 and bf16.
  std::size_t n_groups() const noexcept;
  std::size_t panel_bytes() const noexcept { return n_lines() * kLineBytes; }

  /// Whether zeros among the inputs may be left out: sparse inputs, and no float32 weight infinite or NaN. All weights are read
  /// for it, once, when it is first asked.
  bool may_skip_zeros() const;

 private:
  std::size_t n_panels() const noexcept { return (rows_ + kLanes - 1) / kLanes; }
  std::size_t n_lines() const noexcept;
  void pack_tile(const WeightMatrix& w, std::size_t output, std::size_t input) const;

  WeightFormat format_;
  std::size_t rows_;
  std::size_t cols_;
  Inputs inputs_;
  AlignedBuffer buffer_;
  mutable std::once_flag looked_at_;
  mutable bool finite_ = false;
};

}  // namespace ffmem
