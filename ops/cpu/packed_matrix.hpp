// Weights in the formats bf16, int8 and int4 in the one order that the kernels of ops/cpu/dot_kernels.hpp read for any number
// of rows. A copy: nothing of the checkpoint is kept.
#pragma once

#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"
#include "ops/cpu/dot_kernels.hpp"

namespace ffmem {

class PackedMatrix final : public PreparedMatrix {
 public:
  /// Packs `w` with all threads. `format` is not f32. Throws std::bad_alloc.
  PackedMatrix(const WeightMatrix& w, WeightFormat format);

  std::size_t rows() const noexcept override { return rows_; }
  std::size_t cols() const noexcept override { return cols_; }
  WeightFormat format() const noexcept override { return format_; }
  std::size_t owned_bytes() const noexcept override { return buffer_.bytes(); }

  std::size_t n_panels() const noexcept { return (rows_ + kPanelOutputs - 1) / kPanelOutputs; }
  /// Groups of inputs that share a scale; 0 for bf16.
  std::size_t n_groups() const noexcept;
  const std::byte* panel(std::size_t p) const noexcept { return data() + p * kPanelVectors * n_lines() * kVectorBytes; }

 private:
  static constexpr std::size_t kVectorBytes = 64;

  const std::byte* data() const noexcept { return reinterpret_cast<const std::byte*>(buffer_.data()); }
  std::size_t n_lines() const noexcept;  // vectors of 64 bytes for each 16 outputs
  void pack_tile(const WeightMatrix& w, std::size_t output, std::size_t input) const;

  WeightFormat format_;
  std::size_t rows_;
  std::size_t cols_;
  AlignedBuffer buffer_;
};

}  // namespace ffmem
