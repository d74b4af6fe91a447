// The table of the kernels that multiply matrices, for one set of lanes.
#pragma once

#include "ops/cpu/kernels/matmul.hpp"
#include "ops/cpu/kernels/pack_row.hpp"
#include "ops/cpu/kernels/sparse_matmul.hpp"

namespace ffmem::kernels {

template <class Lanes>
constexpr MatmulKernels make_matmul_kernels() noexcept {
  using Tiles = MatmulTiles<Lanes>;
  return {.f32 = Matmul<Lanes>::template kernel<typename Tiles::F32>(),
          .bf16 = Matmul<Lanes>::template kernel<typename Tiles::Bf16>(),
          .int8 = Matmul<Lanes>::template kernel<typename Tiles::Int8>(),
          .int4 = Matmul<Lanes>::template kernel<typename Tiles::Int4>(),
          .sparse = SparseMatmul<Lanes>::matmul,
          .interleave = PackRow<Lanes>::interleave,
          .round_bf16 = PackRow<Lanes>::round_bf16,
          .quantise = PackRow<Lanes>::quantise};
}

}  // namespace ffmem::kernels
