// Weights of any format in the one order of panels that the kernels read for any number of rows. Float32 products by a
// checkpoint's bf16 weights hold those as they are, exact in half the memory.
#pragma once

#include "ops/cpu/cpu_matrix.hpp"

namespace ffmem {

class PackedMatrix final : public CpuMatrix {
 public:
  /// Packs `w` with all threads. Throws std::bad_alloc.
  PackedMatrix(const WeightMatrix& w, WeightFormat format);

  MatmulKernel kernel(const MatmulKernels& kernels, std::size_t n_rows) const noexcept override;

 private:
  std::size_t n_lines() const noexcept;  // of a panel
  void pack_tile(const WeightMatrix& w, std::size_t panel, std::size_t input) const;

  WeightFormat lines_;  // what lines hold
};

}  // namespace ffmem
