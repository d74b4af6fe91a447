// The table of all kernels for one xsimd architecture.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/kernels/attention.hpp"
#include "ops/cpu/kernels/dot.hpp"
#include "ops/cpu/kernels/dot_lanes.hpp"
#include "ops/cpu/kernels/elementwise.hpp"
#include "ops/cpu/kernels/matmul.hpp"
#include "ops/cpu/kernels/norm.hpp"
#include "ops/cpu/kernels/pack_row.hpp"
#include "ops/cpu/kernels/rotary.hpp"
#include "ops/cpu/kernels/search.hpp"
#include "ops/cpu/kernels/sparse_matmul.hpp"

namespace ffmem::kernels {

/// Lanes: how weights of whole numbers are multiplied.
template <class Arch, class Lanes = DotLanes<Arch>>
constexpr KernelTable make_table(const char* isa) noexcept {
  return {.isa = isa,
          .matmul_panel = Matmul<Arch>::kPanel,
          .matmul_few_rows = Matmul<Arch>::kRows,
          .matmul = Matmul<Arch>::matmul,
          .sparse_matmul = SparseMatmul<Arch>::matmul,
          .dot = {.bf16 = Dot<Lanes>::bf16,
                  .int8 = Dot<Lanes>::int8,
                  .int4 = Dot<Lanes>::int4,
                  .round_bf16 = PackRow<Arch>::round_bf16,
                  .quantise = PackRow<Arch>::quantise},
          .attention = Attention<Arch>::attention,
          .write_keys = Attention<Arch>::write_keys,
          .layer_norm = Norm<Arch>::layer_norm,
          .rms_norm = Norm<Arch>::rms_norm,
          .activate = Elementwise<Arch>::activate,
          .add = Elementwise<Arch>::add,
          .multiply = Elementwise<Arch>::multiply,
          .scale = Elementwise<Arch>::scale,
          .softcap = Elementwise<Arch>::softcap_row,
          .rotate_halves = Rotary<Arch>::rotate_halves,
          .rotate_pairs = Rotary<Arch>::rotate_pairs,
          .exp_sum = Search<Arch>::exp_sum,
          .next_above = Search<Arch>::next_above,
          .find_above = Search<Arch>::find_above};
}

}  // namespace ffmem::kernels
