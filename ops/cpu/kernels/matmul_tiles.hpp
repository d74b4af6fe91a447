// The formats of weights that tiles multiply by. How weights are packed: ops/cpu/matmul_kernels.hpp.
//
// Every sum is one chain over the inputs in index order, so that it has the same bits for any number of rows, the bias added
// last:
//
//   f32         a chain for each run of kSumRun inputs, starting from zero; the runs' sums added in order, to zero
//   bf16        one chain over all inputs; it stops after each run and goes on from y
//   int8, int4  exact inside a group, the groups chained in float32; the chain stops after each run too
//
// All instruction sets with fused multiply-add give f32 the same bits, and bf16 too but for those that multiply pairs of it.
// Runs keep a piece of the panel in cache for all rows.
//
// A format says:
//
//   kVectors     panels of a tile
//   kRows        rows of a tile
//   kStoredRows  those that multiply lines as they are stored; more take lines widened to what the format Widened has, if
//                kWidens: widen() does so with a run's lines of one panel, to at most kWideLines
//   kPanels      panels that a line is part of
//   kRunLines    lines of a run
//   n_lines(b), units(n), group(n)   lines of a panel; units of a row, and groups, before line n, which begins a run
//   multiply<Rows, Vectors>(part)    the tile's product by some lines
#pragma once

#include <type_traits>

#include "ops/cpu/kernels/float_tiles.hpp"
#include "ops/cpu/kernels/group_tiles.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct MatmulTiles {
  using Float = FloatTiles<Lanes>;
  using Int = GroupTiles<Lanes>;

  using F32 = typename Float::template Floats<typename Float::F32Line, Float::Chains::runs>;
  using F32ByBf16 = typename Float::template Floats<typename Float::Bf16Line, Float::Chains::runs>;
  using F32ByRows = typename Float::template Floats<typename Float::F32Row, Float::Chains::runs>;
  using F32ByBf16Rows = typename Float::template Floats<typename Float::Bf16Row, Float::Chains::runs>;
  using Bf16 = std::conditional_t<Lanes::kMultipliesBf16, typename Float::Bf16Pairs,
                                  typename Float::template Floats<typename Float::Bf16Line, Float::Chains::whole>>;
  using Int8 = typename Int::template Grouped<typename Int::Int8Group>;
  using Int4 = typename Int::template Grouped<typename Int::Int4Group>;
};

}  // namespace ffmem::kernels
