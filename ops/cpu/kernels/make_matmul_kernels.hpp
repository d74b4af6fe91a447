// The table of the kernels that multiply matrices, for one set of lanes.
#pragma once

#include "ops/cpu/kernels/matmul.hpp"
#include "ops/cpu/kernels/pack_row.hpp"
#include "ops/cpu/kernels/sparse_matmul.hpp"

namespace ffmem::kernels {

template <class Lanes>
constexpr MatmulKernels make_matmul_kernels() noexcept {
  using Tiles = MatmulTiles<Lanes>;
  constexpr RowUnits bf16 = Lanes::kMultipliesBf16 ? RowUnits::bf16_pairs : RowUnits::rounded_floats;
  constexpr RowUnits int8 = Lanes::kInt8Units == 2 ? RowUnits::int8_magnitudes : RowUnits::int8;
  return {.f32 = Matmul<Lanes>::template kernel<typename Tiles::F32>(RowUnits::floats),
          .f32_by_bf16 = Matmul<Lanes>::template kernel<typename Tiles::F32ByBf16>(RowUnits::floats),
          .bf16 = Matmul<Lanes>::template kernel<typename Tiles::Bf16>(bf16),
          .int8 = Matmul<Lanes>::template kernel<typename Tiles::Int8>(int8),
          .int8_of_many = Matmul<Lanes>::template kernel<typename Tiles::Int8>(int8),
          .int4 = Matmul<Lanes>::template kernel<typename Tiles::Int4>(RowUnits::int8),
          .f32_by_rows = Matmul<Lanes>::template kernel<typename Tiles::F32ByRows>(RowUnits::floats),
          .f32_by_bf16_rows = Matmul<Lanes>::template kernel<typename Tiles::F32ByBf16Rows>(RowUnits::floats),
          .sparse = SparseMatmul<Lanes, typename FloatTiles<Lanes>::F32Row>::matmul,
          .sparse_by_bf16 = SparseMatmul<Lanes, typename FloatTiles<Lanes>::Bf16Row>::matmul,
          .round_floats = PackRow<Lanes>::round_floats,
          .round_bf16 = PackRow<Lanes>::round_bf16,
          .quantise = PackRow<Lanes>::quantise,
          .quantise_magnitudes = PackRow<Lanes>::quantise_magnitudes};
}

}  // namespace ffmem::kernels
