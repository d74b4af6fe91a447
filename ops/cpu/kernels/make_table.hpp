// The table of all kernels for one xsimd architecture.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/kernels/attention.hpp"
#include "ops/cpu/kernels/elementwise.hpp"
#include "ops/cpu/kernels/lanes.hpp"
#include "ops/cpu/kernels/make_matmul_kernels.hpp"
#include "ops/cpu/kernels/norm.hpp"
#include "ops/cpu/kernels/rotary.hpp"
#include "ops/cpu/kernels/search.hpp"
#include "ops/cpu/kernels/softmax_change.hpp"

namespace ffmem::kernels {

/// Lanes: how packed weights are multiplied.
template <class Arch, class Lanes = PlainLanes<Arch>>
constexpr KernelTable make_table(const char* isa) noexcept {
  return {.isa = isa,
          .matmul = make_matmul_kernels<Lanes>(),
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
          .keep_larger = Search<Arch>::keep_larger,
          .find_above = Search<Arch>::find_above,
          .softmax_change = ChangedSoftmax<Arch>::softmax_change};
}

}  // namespace ffmem::kernels
