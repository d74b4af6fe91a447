// Few rows' products by weights that lie input by input, over the inputs that are not zero. The order of the sums is that of
// matmul_tiles.hpp, and leaving out a multiply-add of zero changes no sum: the bits are the dense product's, finite weights
// provided (0 * infinity is NaN). A sum that a too small product turned to -0 would come back to 0 at the next zero input; both
// kernels therefore make it 0 at the end of the first run.
#pragma once

#include "ops/cpu/kernels/float_tiles.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

// Line: F32Row or Bf16Row.
template <class Lanes, class Line>
struct SparseMatmul {
  using Sum = typename Lanes::Sum;
  // Outputs whose sums stay in the first cache, while an input's weights are read in pieces long enough for the memory.
  static constexpr std::size_t kChunk = 512;
  static constexpr std::size_t kLineOutputs = Line::kPanels * kLanes;
  static constexpr std::size_t kTogether = 4;  // inputs

  struct Sums {
    alignas(64) float of_run[kMaxSparseRows][kChunk];
    alignas(64) float total[kMaxSparseRows][kChunk];
  };

  static void matmul(const SparseBlock& b) noexcept {
    Sums sums;
    for (std::size_t o = 0; o < b.n_out; o += kChunk) {
      const std::size_t n = least(b.n_out - o, kChunk);
      const std::size_t whole = round_up(n, kLineOutputs);
      add_up(b, b.w + o / kLineOutputs * kLineBytes, whole, sums);
      for (std::size_t r = 0; r < b.n_rows; ++r) store(b, r, o, n, sums.total[r]);
    }
  }

 private:
  // The totals of n outputs, whole lines.
  static void add_up(const SparseBlock& b, const std::byte* w, std::size_t n, Sums& sums) noexcept {
    for (std::size_t r = 0; r < b.n_rows; ++r) clear(sums.total[r], n);
    for (std::size_t i = 0, run_end = kSumRun; i < b.n_active; run_end += kSumRun) {
      for (std::size_t r = 0; r < b.n_rows; ++r) clear(sums.of_run[r], n);
      std::size_t end = i;
      while (end < b.n_active && b.active[end] < run_end) ++end;
      for (; i + kTogether <= end; i += kTogether) add_inputs<kTogether>(b, b.active + i, w, n, sums);
      for (; i < end; ++i) add_inputs<1>(b, b.active + i, w, n, sums);
      for (std::size_t r = 0; r < b.n_rows; ++r) {
        for (std::size_t o = 0; o < n; o += kLanes) {
          put(Lanes::add(get(sums.total[r] + o), get(sums.of_run[r] + o)), sums.total[r] + o);
        }
      }
    }
  }

  // N inputs in their order. Together they take turns at reading, and each sum is loaded and stored but once.
  template <std::size_t N>
  static void add_inputs(const SparseBlock& b, const std::uint32_t* active, const std::byte* w, std::size_t n,
                         Sums& sums) noexcept {
    const std::byte* lines[N];
    for (std::size_t i = 0; i < N; ++i) lines[i] = w + active[i] * b.row_bytes;
    for (std::size_t r = 0; r < b.n_rows; ++r) {
      float x[N];
      for (std::size_t i = 0; i < N; ++i) x[i] = b.x[r * b.x_stride + active[i]];
      float* sum = sums.of_run[r];
      for (std::size_t line = 0; line * kLineOutputs < n; ++line) {
#pragma GCC unroll 2
        for (std::size_t place = 0; place < Line::kPanels; ++place, sum += kLanes) {
          Sum total = get(sum);
#pragma GCC unroll 4
          for (std::size_t i = 0; i < N; ++i) {
            total = Lanes::add_product(total, x[i], Line::floats(Lanes::weights(lines[i] + line * kLineBytes), place));
          }
          put(total, sum);
        }
      }
    }
  }

  static void store(const SparseBlock& b, std::size_t r, std::size_t output, std::size_t n, const float* totals) noexcept {
    for (std::size_t o = 0; o < n; o += kLanes) {
      const std::size_t lanes = least(n - o, kLanes);
      const Sum total = get(totals + o);
      Lanes::store(b.bias == nullptr ? total : Lanes::add(total, Lanes::load(b.bias + output + o, lanes)),
                   b.y + r * b.y_stride + output + o, lanes);
    }
  }

  static Sum get(const float* p) noexcept { return Lanes::load(p, kLanes); }
  static void put(const Sum& sum, float* p) noexcept { Lanes::store(sum, p, kLanes); }
  static void clear(float* sums, std::size_t n) noexcept {
    for (std::size_t o = 0; o < n; o += kLanes) put(Lanes::zero(), sums + o);
  }
};

}  // namespace ffmem::kernels
