// One row's product with matrices whose weights lie input by input, over the inputs that are not zero. The order of the sums is
// that of matmul.hpp, and leaving out a multiply-add of zero changes no sum: the bits are the dense product's, finite weights
// provided (0 * infinity is NaN). A sum that a too small product turned to -0 would come back to 0 at the next zero input; both
// kernels therefore make it 0 at the end of the first run.
#pragma once

#include "ops/cpu/kernels/matmul.hpp"

namespace ffmem::kernels {

template <class Arch>
struct SparseMatmul {
  using Dense = Matmul<Arch>;
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kInputs = 4;

  static void matmul(const SparseBlock& b) noexcept {
    alignas(64) float sums[Dense::kRun];
    for (std::size_t o = 0; o < b.n_out; o += Dense::kRun) {
      const std::size_t n = b.n_out - o < Dense::kRun ? b.n_out - o : Dense::kRun;
      std::size_t i = 0;
      for (std::size_t k = 0; k < b.n_in; k += kSumRun) {
        std::size_t end = i;
        while (end < b.n_active && b.active[end] < k + kSumRun) ++end;
        const bool last = k + kSumRun >= b.n_in;
        if (i == end && k != 0 && !last) continue;
        for (std::size_t c = 0; c < n; c += kW) V(0.0F).store_aligned(sums + c);
        for (; i + kInputs <= end; i += kInputs) add_inputs<kInputs>(b, i, o, n, sums);
        for (; i < end; ++i) add_inputs<1>(b, i, o, n, sums);
        const typename Dense::Finish f{k == 0, last ? b.bias : nullptr};
        for (std::size_t c = 0; c < n; c += kW) Dense::finish(f, V::load_aligned(sums + c), b.y + o + c, o + c, n - c);
      }
    }
  }

 private:
  // sums[c] += x[active[i + j]] w[o + c, active[i + j]], j = 0 .. Inputs - 1 in turn; fetches the weights of the next Inputs.
  template <std::size_t Inputs>
  static void add_inputs(const SparseBlock& b, std::size_t i, std::size_t o, std::size_t n, float* sums) noexcept {
    V x[Inputs];
    const float* w[Inputs];
    const float* next[Inputs];
#pragma GCC unroll 4
    for (std::size_t j = 0; j < Inputs; ++j) {
      const std::size_t later = i + Inputs + j < b.n_active ? i + Inputs + j : b.n_active - 1;
      x[j] = V(b.x[b.active[i + j]]);
      w[j] = b.w + b.active[i + j] * b.in_stride + o;
      next[j] = b.w + b.active[later] * b.in_stride + o;
    }
    for (std::size_t c = 0; c < n; c += kW) {
      V sum = V::load_aligned(sums + c);
#pragma GCC unroll 4
      for (std::size_t j = 0; j < Inputs; ++j) {
        __builtin_prefetch(next[j] + c);
        sum = fma<Arch>(x[j], load_n<Arch>(w[j] + c, n - c < kW ? n - c : kW), sum);
      }
      sum.store_aligned(sums + c);
    }
  }
};

}  // namespace ffmem::kernels
