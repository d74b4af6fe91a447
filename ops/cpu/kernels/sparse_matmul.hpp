// One row's product by float32 panels over the inputs that are not zero. The order of the sums is that of matmul_tiles.hpp, and
// leaving out a multiply-add of zero changes no sum: the bits are the dense product's, finite weights provided (0 * infinity is
// NaN). A sum that a too small product turned to -0 would come back to 0 at the next zero input; both kernels therefore make it
// 0 at the end of the first run.
#pragma once

#include "ops/cpu/kernels/matmul_tiles.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct SparseMatmul {
  using Sum = typename Lanes::Sum;
  static constexpr std::size_t kVectors = Lanes::kLoneVectors;

  static void matmul(const SparseBlock& b) noexcept {
    const std::size_t n_panels = (b.n_out + kLanes - 1) / kLanes;
    std::size_t p = 0;
    for (; p + kVectors <= n_panels; p += kVectors) run<kVectors>(b, p);
    for (; p < n_panels; ++p) run<1>(b, p);
  }

 private:
  template <std::size_t Vectors>
  static void run(const SparseBlock& b, std::size_t panel) noexcept {
    const std::byte* const w = b.w + panel * b.panel_bytes;
    Sum totals[Vectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < Vectors; ++v) totals[v] = Lanes::zero();
    for (std::size_t i = 0, run_end = kSumRun; i < b.n_active; run_end += kSumRun) {
      Sum sums[Vectors];
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) sums[v] = Lanes::zero();
      for (; i < b.n_active && b.active[i] < run_end; ++i) {
        const float x = b.x[b.active[i]];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
          sums[v] = Lanes::dot_f32(sums[v], x, Lanes::weights(w + v * b.panel_bytes + b.active[i] * kLineBytes));
        }
      }
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) totals[v] = Lanes::add(totals[v], sums[v]);
    }
    for (std::size_t v = 0; v < Vectors; ++v) {
      const std::size_t o = (panel + v) * kLanes;
      const std::size_t n = b.n_out - o < kLanes ? b.n_out - o : kLanes;
      Lanes::store(b.bias == nullptr ? totals[v] : Lanes::add(totals[v], Lanes::load(b.bias + o, n)), b.y + o, n);
    }
  }
};

}  // namespace ffmem::kernels
