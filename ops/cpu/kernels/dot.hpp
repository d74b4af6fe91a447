// Products by bf16, int8 and int4 weights: the loops over panels, rows and steps, for vectors of 16 outputs whose arithmetic is
// given by Lanes (dot_lanes.hpp, dot_lanes_avx2.hpp, dot_lanes_avx512.hpp). Packing: ops/cpu/dot_kernels.hpp.
//
// Every sum is one chain over all inputs in index order (bf16: in steps of two; int8, int4: exact inside a group, groups
// chained in float32), the bias added last, so that it has the same bits for any number of rows. bf16 stops the chain every
// kRunSteps steps and goes on from y, so that a piece of the panel stays in cache for all rows.
#pragma once

#include "ops/cpu/dot_kernels.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct Dot {
  using Sum = typename Lanes::Sum;                                  // 16 float32
  using Count = typename Lanes::Count;                              // 16 whole numbers
  using Weights = typename Lanes::Weights;                          // 64 bytes of weights
  static constexpr std::size_t kVectors = Lanes::kVectors;          // vectors of outputs that are summed together
  static constexpr std::size_t kLoneVectors = Lanes::kLoneVectors;  // likewise for a single row, >= kVectors
  static constexpr std::size_t kRunSteps = 256;
  static constexpr std::size_t kVectorBytes = 64;

  // A part of the product: some rows, some vectors of one panel. `w` is the first of those vectors in the panel, whose steps
  // are `step_bytes` apart.
  struct Part {
    const DotBlock& b;
    const std::byte* w;
    std::size_t step_bytes;
    std::size_t row;
    std::size_t output;
    std::size_t begin;  // bf16: steps [begin, end)
    std::size_t end;
  };

  template <std::size_t Rows, std::size_t Vectors>
  static void store(const Part& p, const Sum (&sums)[Rows][Vectors], bool add_bias) noexcept {
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) {
        const std::size_t o = p.output + v * kLanes;
        const std::size_t n = p.b.n_out - o < kLanes ? p.b.n_out - o : kLanes;
        const Sum sum = add_bias ? Lanes::add(sums[r][v], Lanes::load(p.b.bias + o, n)) : sums[r][v];
        Lanes::store(sum, p.b.y + (p.row + r) * p.b.y_stride + o, n);
      }
    }
  }

  struct Bf16 {
    static constexpr std::size_t kRows = Lanes::kBf16Rows;

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
          const std::size_t o = p.output + v * kLanes;
          const std::size_t n = p.b.n_out - o < kLanes ? p.b.n_out - o : kLanes;
          sums[r][v] = p.begin == 0 ? Lanes::zero() : Lanes::load(p.b.y + (p.row + r) * p.b.y_stride + o, n);
        }
      }
      const std::uint32_t* x = p.b.x + p.row * p.b.x_stride;
      for (std::size_t i = p.begin; i < p.end; ++i) {
        Weights w[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) w[v] = Lanes::weights(p.w + i * p.step_bytes + v * kVectorBytes);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = Lanes::dot_bf16(sums[r][v], x[r * p.b.x_stride + i], w[v]);
        }
      }
      store(p, sums, p.b.bias != nullptr && p.end * kBf16Step >= p.b.n_in);
    }
  };

  struct Int8 {
    static constexpr std::size_t kRows = Lanes::kIntRows;

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = Lanes::zero();
      }
      const std::size_t n_steps = (p.b.n_in + kInt8Step - 1) / kInt8Step;
      constexpr std::size_t kGroupSteps = kInt8Group / kInt8Step;
      const std::uint32_t* x = p.b.x + p.row * p.b.x_stride;
      const std::byte* w = p.w;
      for (std::size_t g = 0; g < p.b.n_groups; ++g) {
        const std::byte* scales = w;
        w += p.step_bytes;
        Count counts[Rows][Vectors];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const Count start = Lanes::int8_start(p.b.x_sums[(p.row + r) * p.b.n_groups + g]);
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) counts[r][v] = start;
        }
        const std::size_t end = (g + 1) * kGroupSteps < n_steps ? (g + 1) * kGroupSteps : n_steps;
        for (std::size_t i = g * kGroupSteps; i < end; ++i, w += p.step_bytes) {
          Weights line[Vectors];
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) line[v] = Lanes::weights(w + v * kVectorBytes);
#pragma GCC unroll 8
          for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
              counts[r][v] = Lanes::dot_int8(counts[r][v], line[v], x[r * p.b.x_stride + i]);
            }
          }
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const float x_scale = p.b.x_scales[(p.row + r) * p.b.n_groups + g];
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) {
            sums[r][v] = Lanes::add_scaled(sums[r][v], counts[r][v], x_scale, Lanes::floats(scales + v * kVectorBytes));
          }
        }
      }
      store(p, sums, p.b.bias != nullptr);
    }
  };

  struct Int4 {
    static constexpr std::size_t kRows = Lanes::kIntRows;

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = Lanes::zero();
      }
      const std::size_t n_steps = (p.b.n_in + kInt4Step - 1) / kInt4Step;
      constexpr std::size_t kGroupSteps = kInt4Group / kInt4Step;
      const std::uint32_t* x = p.b.x + p.row * p.b.x_stride;
      const std::byte* w = p.w;
      for (std::size_t g = 0; g < p.b.n_groups; ++g) {
        const std::byte* scales = w;
        w += p.step_bytes;
        Count counts[Rows][Vectors];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) counts[r][v] = Lanes::count(0);
        }
        const std::size_t end = (g + 1) * kGroupSteps < n_steps ? (g + 1) * kGroupSteps : n_steps;
        for (std::size_t i = g * kGroupSteps; i < end; ++i, w += p.step_bytes) {
          Weights line[Vectors];
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) line[v] = Lanes::weights(w + v * kVectorBytes);
#pragma GCC unroll 8
          for (std::size_t r = 0; r < Rows; ++r) {
            const std::uint32_t* four = x + r * p.b.x_stride + 2 * i;
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
              counts[r][v] = Lanes::dot_int4(counts[r][v], Lanes::low_fours(line[v]), four[0]);
              counts[r][v] = Lanes::dot_int4(counts[r][v], Lanes::high_fours(line[v]), four[1]);
            }
          }
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const std::size_t group = (p.row + r) * p.b.n_groups + g;
          const float x_scale = p.b.x_scales[group];
          const float x_sum = static_cast<float>(p.b.x_sums[group]) * x_scale;
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) {
            const Weights pairs = Lanes::weights(scales + v * kVectorBytes);
            sums[r][v] = Lanes::add_scaled(sums[r][v], counts[r][v], x_scale, Lanes::upper_bf16(pairs));
            sums[r][v] = Lanes::add_product(sums[r][v], x_sum, Lanes::lower_bf16(pairs));
          }
        }
      }
      store(p, sums, p.b.bias != nullptr);
    }
  };

  using Run = void (*)(const Part&) noexcept;

  // Format::run for [vectors - 1][rows - 1]; more than kVectors for one row alone.
  template <class Format>
  static Run runner(std::size_t vectors, std::size_t rows) noexcept {
    return pick_vectors<Format, 1>(vectors, rows);
  }

  template <class Format, std::size_t Vectors>
  static Run pick_vectors(std::size_t vectors, std::size_t rows) noexcept {
    if constexpr (Vectors < kLoneVectors) {
      if (vectors > Vectors) return pick_vectors<Format, Vectors + 1>(vectors, rows);
    }
    if constexpr (Vectors > kVectors) {
      return Format::template run<1, Vectors>;
    } else {
      return pick_rows<Format, Vectors, 1>(rows);
    }
  }

  template <class Format, std::size_t Vectors, std::size_t Rows>
  static Run pick_rows(std::size_t rows) noexcept {
    if constexpr (Rows < Format::kRows) {
      if (rows > Rows) return pick_rows<Format, Vectors, Rows + 1>(rows);
    }
    return Format::template run<Rows, Vectors>;
  }

  // Steps [begin, end) of all rows against one panel.
  template <class Format>
  static void run_panel(const DotBlock& b, const std::byte* panel, std::size_t output, std::size_t begin,
                        std::size_t end) noexcept {
    const std::size_t outputs = b.n_out - output < kPanelOutputs ? b.n_out - output : kPanelOutputs;
    const std::size_t vectors = (outputs + kLanes - 1) / kLanes;
    // A lone row reads its weights from memory, and so in their order.
    const std::size_t together = b.n_rows == 1 ? kLoneVectors : kVectors;
    for (std::size_t v = 0; v < vectors; v += together) {
      const std::size_t n = vectors - v < together ? vectors - v : together;
      for (std::size_t row = 0; row < b.n_rows; row += Format::kRows) {
        const std::size_t rows = b.n_rows - row < Format::kRows ? b.n_rows - row : Format::kRows;
        runner<Format>(n, rows)({b, panel + v * kVectorBytes, vectors * kVectorBytes, row, output + v * kLanes, begin, end});
      }
    }
  }

  static void bf16(const DotBlock& b) noexcept {
    const std::size_t n_steps = (b.n_in + kBf16Step - 1) / kBf16Step;
    const std::byte* panel = b.w;
    for (std::size_t o = 0; o < b.n_out; o += kPanelOutputs, panel += n_steps * kPanelVectors * kVectorBytes) {
      for (std::size_t i = 0; i < n_steps; i += kRunSteps) {
        run_panel<Bf16>(b, panel, o, i, i + kRunSteps < n_steps ? i + kRunSteps : n_steps);
      }
    }
  }

  static void int8(const DotBlock& b) noexcept { grouped<Int8>(b, kInt8Step); }
  static void int4(const DotBlock& b) noexcept { grouped<Int4>(b, kInt4Step); }

  template <class Format>
  static void grouped(const DotBlock& b, std::size_t step) noexcept {
    const std::size_t lines = (b.n_in + step - 1) / step + b.n_groups;
    const std::byte* panel = b.w;
    for (std::size_t o = 0; o < b.n_out; o += kPanelOutputs, panel += lines * kPanelVectors * kVectorBytes) {
      run_panel<Format>(b, panel, o, 0, 0);
    }
  }
};

}  // namespace ffmem::kernels
