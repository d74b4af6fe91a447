// Matrix product in which every element is summed in one fixed order, whatever the shape of the block around it:
//
//   inside a run of 512 inputs one chain of fused multiply-adds in index order, starting from zero;
//   the runs' sums added in order, to zero; the bias added last.
//
// A row's bits therefore depend on nothing but that row and the weights: not on the number of rows, on threads, or on
// which of the three paths below computes it; and all instruction sets that have fused multiply-add give the same bits.
//
// * Many rows: 512 inputs x a few vectors of outputs of the weights are copied to a panel [input][output] on the stack, and
//   six rows at a time run against it, with the sums in registers. Where each input's weights are contiguous, several panels
//   are copied at once.
// * Few rows, each output's weights contiguous: squares of weights are transposed in registers and used at once.
// * Few rows, each input's weights contiguous: runs of outputs are added up in place, four inputs at a time.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

// Inputs summed in one chain.
constexpr std::size_t kSumRun = 512;

template <class Arch>
struct Matmul {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  // Sums held in registers: six rows of 4 vectors (24 of 32 registers) or of 2 vectors (12 of 16).
#if defined(__aarch64__)
  static constexpr std::size_t kPanelVectors = 4;
#else
  static constexpr std::size_t kPanelVectors = kW == 16 ? 4 : 2;
#endif
  static constexpr std::size_t kPanel = kPanelVectors * kW;
  static constexpr std::size_t kRows = 6;
  static constexpr std::size_t kRun = 1024;  // outputs added up together where each input's weights are contiguous
  static constexpr std::size_t kInputs = 4;
  // How far ahead weights are fetched: 10-30 % faster at 4 to 16 rows.
  static constexpr std::size_t kLinesAhead = 12;
  static constexpr std::size_t kElementsAhead = 128;

  // y = 0 + sum (first run) or y + sum, and + bias after the last run. The 0 makes -0 the same as 0: see sparse_matmul.hpp.
  struct Finish {
    bool first;
    const float* bias;  // null before the last run

    V operator()(const V& sum, const float* y, std::size_t o) const noexcept {
      const V total = (first ? V(0.0F) : load<Arch>(y)) + sum;
      return bias == nullptr ? total : total + load<Arch>(bias + o);
    }
  };

  // Adds `n` sums to y, o being the first one's output; n may be less than a vector.
  static void finish(const Finish& f, const V& sum, float* y, std::size_t o, std::size_t n) noexcept {
    if (n >= kW) {
      f(sum, y, o).store_unaligned(y);
      return;
    }
    const V total = (f.first ? V(0.0F) : load_first<Arch>(y, n)) + sum;
    store_first<Arch>(f.bias == nullptr ? total : total + load_first<Arch>(f.bias + o, n), y, n);
  }

  // Copies weights [outputs begin .. begin + n) x [inputs k .. k + depth) to panels[n / kPanel][kSumRun][kPanel]; columns past
  // n repeat some weight or are left as they are.
  static void pack(const MatmulBlock& b, std::size_t begin, std::size_t n, std::size_t k, std::size_t depth,
                   float* panels) noexcept {
    const float* w = b.w + begin * b.out_stride + k * b.in_stride;
    if (b.out_stride == 1) {
      for (std::size_t i = 0; i < depth; ++i) pack_line(w + i * b.in_stride, b.in_stride, n, panels + i * kPanel);
      return;
    }
    for (std::size_t c = 0; c < n; c += kW) {
      pack_by_output(w + c * b.out_stride, b.out_stride, n - c < kW ? n - c : kW, depth, panels + place(c), kPanel);
    }
  }

  // Where column c of packed panels begins.
  static constexpr std::size_t place(std::size_t c) noexcept { return c / kPanel * kSumRun * kPanel + c % kPanel; }

  // One input's weights; lines lie `stride` apart, too far for the hardware to see the next one coming.
  static void pack_line(const float* w, std::size_t stride, std::size_t n, float* panels) noexcept {
    for_each_vector<Arch>(n, [&](std::size_t c, std::size_t lanes) {
      __builtin_prefetch(w + kLinesAhead * stride + c);
      load_n<Arch>(w + c, lanes).store_aligned(panels + place(c));
    });
  }

  static void pack_by_output(const float* w, std::size_t stride, std::size_t columns, std::size_t depth, float* panel,
                             std::size_t width) noexcept {
    for (std::size_t i = 0; i < depth; i += kW) {
      V square[kW];
      load_square(w + i, stride, columns, depth - i, square);
      const std::size_t n = depth - i < kW ? depth - i : kW;
      for (std::size_t j = 0; j < n; ++j) square[j].store_aligned(panel + (i + j) * width);
    }
  }

  // Lane o of square[j] = w[o * stride + j]; of `columns` rows of w, `depth` elements long, that exist (others repeat).
  static void load_square(const float* w, std::size_t stride, std::size_t columns, std::size_t depth, V* square) noexcept {
    if (columns >= kW && depth >= kW) {
#pragma GCC unroll 16
      for (std::size_t o = 0; o < kW; ++o) {
        __builtin_prefetch(w + o * stride + kElementsAhead);
        square[o] = load<Arch>(w + o * stride);
      }
    } else {
      for (std::size_t o = 0; o < kW; ++o) {
        const float* line = w + (o < columns ? o : columns - 1) * stride;
        square[o] = depth >= kW ? load<Arch>(line) : load_first<Arch>(line, depth);
      }
    }
    transpose<Arch>(square);
  }

  // `Rows` rows of x against a panel.
  template <std::size_t Rows, std::size_t NVectors>
  static void run_panel(const float* x, std::size_t x_stride, const float* panel, std::size_t depth, const Finish& f, float* y,
                        std::size_t y_stride, std::size_t o, std::size_t n) noexcept {
    V sums[Rows][NVectors];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < NVectors; ++v) sums[r][v] = V(0.0F);
    }
    for (std::size_t i = 0; i < depth; ++i) {
      V w[NVectors];
#pragma GCC unroll 4
      for (std::size_t v = 0; v < NVectors; ++v) w[v] = V::load_aligned(panel + i * kPanel + v * kW);
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
        const V xi(x[r * x_stride + i]);
#pragma GCC unroll 4
        for (std::size_t v = 0; v < NVectors; ++v) sums[r][v] = fma<Arch>(xi, w[v], sums[r][v]);
      }
    }
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < NVectors; ++v) finish(f, sums[r][v], y + r * y_stride + v * kW, o + v * kW, n - v * kW);
    }
  }

  using RunPanel = void (*)(const float*, std::size_t, const float*, std::size_t, const Finish&, float*, std::size_t,
                            std::size_t, std::size_t) noexcept;

  // run_panel for [n_vectors - 1][rows - 1].
  static RunPanel panel_runner(std::size_t n_vectors, std::size_t rows) noexcept {
    if constexpr (kPanelVectors == 4) {
      static constexpr RunPanel kRunners[4][kRows] = {
          {run_panel<1, 1>, run_panel<2, 1>, run_panel<3, 1>, run_panel<4, 1>, run_panel<5, 1>, run_panel<6, 1>},
          {run_panel<1, 2>, run_panel<2, 2>, run_panel<3, 2>, run_panel<4, 2>, run_panel<5, 2>, run_panel<6, 2>},
          {run_panel<1, 3>, run_panel<2, 3>, run_panel<3, 3>, run_panel<4, 3>, run_panel<5, 3>, run_panel<6, 3>},
          {run_panel<1, 4>, run_panel<2, 4>, run_panel<3, 4>, run_panel<4, 4>, run_panel<5, 4>, run_panel<6, 4>}};
      return kRunners[n_vectors - 1][rows - 1];
    } else {
      static constexpr RunPanel kRunners[2][kRows] = {
          {run_panel<1, 1>, run_panel<2, 1>, run_panel<3, 1>, run_panel<4, 1>, run_panel<5, 1>, run_panel<6, 1>},
          {run_panel<1, 2>, run_panel<2, 2>, run_panel<3, 2>, run_panel<4, 2>, run_panel<5, 2>, run_panel<6, 2>}};
      return kRunners[n_vectors - 1][rows - 1];
    }
  }

  // All rows against the panel of outputs o .. o + n and inputs k .. k + depth.
  static void run_rows(const MatmulBlock& b, const float* panel, std::size_t o, std::size_t n, std::size_t k,
                       std::size_t depth) noexcept {
    const std::size_t n_vectors = (n + kW - 1) / kW;
    const Finish f{k == 0, k + depth == b.n_in ? b.bias : nullptr};
    for (std::size_t t = 0; t < b.n_rows; t += kRows) {
      const std::size_t rows = b.n_rows - t < kRows ? b.n_rows - t : kRows;
      panel_runner(n_vectors, rows)(b.x + t * b.x_stride + k, b.x_stride, panel, depth, f, b.y + t * b.y_stride + o, b.y_stride,
                                    o, n);
    }
  }

  static void by_panels(const MatmulBlock& b) noexcept {
    alignas(64) float panels[kSumRun * kPackedOutputs];
    const std::size_t packed = b.out_stride == 1 ? kPackedOutputs : kPanel;
    for (std::size_t begin = 0; begin < b.n_out; begin += packed) {
      const std::size_t end = b.n_out - begin < packed ? b.n_out : begin + packed;
      for (std::size_t k = 0; k < b.n_in; k += kSumRun) {
        const std::size_t depth = b.n_in - k < kSumRun ? b.n_in - k : kSumRun;
        pack(b, begin, end - begin, k, depth, panels);
        for (std::size_t o = begin; o < end; o += kPanel) {
          run_rows(b, panels + place(o - begin), o, end - o < kPanel ? end - o : kPanel, k, depth);
        }
      }
    }
  }

  // Few rows, in_stride 1.
  template <std::size_t Rows>
  static void by_squares(const MatmulBlock& b) noexcept {
    for (std::size_t o = 0; o < b.n_out; o += kW) {
      const std::size_t n = b.n_out - o < kW ? b.n_out - o : kW;
      for (std::size_t k = 0; k < b.n_in; k += kSumRun) {
        const std::size_t depth = b.n_in - k < kSumRun ? b.n_in - k : kSumRun;
        V sums[Rows];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) sums[r] = V(0.0F);
        const float* w = b.w + o * b.out_stride + k;
        std::size_t i = 0;
        for (; i + kW <= depth; i += kW) {
          V square[kW];
          load_square(w + i, b.out_stride, n, kW, square);
#pragma GCC unroll 16
          for (std::size_t j = 0; j < kW; ++j) {
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
              sums[r] = fma<Arch>(V(b.x[r * b.x_stride + k + i + j]), square[j], sums[r]);
            }
          }
        }
        if (i < depth) {
          V square[kW];
          load_square(w + i, b.out_stride, n, depth - i, square);
          for (std::size_t j = 0; i + j < depth; ++j) {
            for (std::size_t r = 0; r < Rows; ++r) {
              sums[r] = fma<Arch>(V(b.x[r * b.x_stride + k + i + j]), square[j], sums[r]);
            }
          }
        }
        const Finish f{k == 0, k + depth == b.n_in ? b.bias : nullptr};
        for (std::size_t r = 0; r < Rows; ++r) finish(f, sums[r], b.y + r * b.y_stride + o, o, n);
      }
    }
  }

  // Few rows, out_stride 1.
  template <std::size_t Rows>
  static void by_runs(const MatmulBlock& b) noexcept {
    alignas(64) float sums[Rows][kRun];
    for (std::size_t o = 0; o < b.n_out; o += kRun) {
      const std::size_t n = b.n_out - o < kRun ? b.n_out - o : kRun;
      for (std::size_t k = 0; k < b.n_in; k += kSumRun) {
        const std::size_t depth = b.n_in - k < kSumRun ? b.n_in - k : kSumRun;
        for (std::size_t r = 0; r < Rows; ++r) {
          for (std::size_t c = 0; c < n; c += kW) V(0.0F).store_aligned(sums[r] + c);
        }
        std::size_t i = 0;
        for (; i + kInputs <= depth; i += kInputs) add_inputs<Rows, kInputs>(b, o, n, k + i, sums);
        for (; i < depth; ++i) add_inputs<Rows, 1>(b, o, n, k + i, sums);
        const Finish f{k == 0, k + depth == b.n_in ? b.bias : nullptr};
        for (std::size_t r = 0; r < Rows; ++r) {
          float* y = b.y + r * b.y_stride + o;
          for (std::size_t c = 0; c < n; c += kW) finish(f, V::load_aligned(sums[r] + c), y + c, o + c, n - c);
        }
      }
    }
  }

  // sums[r][c] += x[r, k + j] w[o + c, k + j], j = 0 .. Inputs - 1 in turn.
  template <std::size_t Rows, std::size_t Inputs>
  static void add_inputs(const MatmulBlock& b, std::size_t o, std::size_t n, std::size_t k, float (*sums)[kRun]) noexcept {
    const float* w = b.w + k * b.in_stride + o;
    V x[Rows][Inputs];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < Inputs; ++j) x[r][j] = V(b.x[r * b.x_stride + k + j]);
    }
    for (std::size_t c = 0; c < n; c += kW) {
      V line[Inputs];
#pragma GCC unroll 8
      for (std::size_t j = 0; j < Inputs; ++j) {
        const float* p = w + j * b.in_stride + c;
        if constexpr (Rows > 1) __builtin_prefetch(p + Inputs * b.in_stride);
        line[j] = n - c >= kW ? load<Arch>(p) : load_first<Arch>(p, n - c);
      }
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
        V sum = V::load_aligned(sums[r] + c);
#pragma GCC unroll 8
        for (std::size_t j = 0; j < Inputs; ++j) sum = fma<Arch>(x[r][j], line[j], sum);
        sum.store_aligned(sums[r] + c);
      }
    }
  }

  static void matmul(const MatmulBlock& b) noexcept {
    if (b.n_rows > kRows) return by_panels(b);
    if (b.out_stride == 1) {
      static constexpr void (*kByRuns[])(const MatmulBlock&) noexcept = {by_runs<1>, by_runs<2>, by_runs<3>,
                                                                         by_runs<4>, by_runs<5>, by_runs<6>};
      return kByRuns[b.n_rows - 1](b);
    }
    static constexpr void (*kBySquares[])(const MatmulBlock&) noexcept = {by_squares<1>, by_squares<2>, by_squares<3>,
                                                                          by_squares<4>, by_squares<5>, by_squares<6>};
    kBySquares[b.n_rows - 1](b);
  }
};

}  // namespace ffmem::kernels
