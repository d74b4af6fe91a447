// A tile of a matrix product: a few rows by a few panels of weights, with the sums in registers, for each format of weights.
// Vectors of 16 outputs, whose arithmetic is given by Lanes (lanes.hpp, lanes_avx2.hpp, lanes_avx512.hpp). How weights are
// packed: ops/cpu/matmul_kernels.hpp.
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
#pragma once

#include <type_traits>

#include "ops/cpu/matmul_kernels.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::kernels {

// Inputs of a run.
constexpr std::size_t kSumRun = 512;

template <class Lanes>
struct MatmulTiles {
  using Sum = typename Lanes::Sum;          // 16 float32
  using Count = typename Lanes::Count;      // 16 whole numbers
  using Weights = typename Lanes::Weights;  // 64 bytes of weights

  // What is read after this tile: the next one's y, and this tile's share of the panels that come next. They are fetched evenly
  // through the tile: in one go they would wait for each other.
  struct Next {
    const float* y;
    WeightLines w;
    std::size_t n_lines;  // of each panel; 0: nothing is fetched
  };

  // Some lines of a tile, all lanes of whose vectors exist.
  struct Part {
    const MatmulBlock& b;
    std::size_t row;
    std::size_t group;       // the first line's, of the formats that have groups
    const std::uint32_t* x;  // the first line's units of the tile's rows
    const std::byte* w;      // the first line of the first panel
    std::size_t panel_stride;
    std::size_t n_lines;  // one after the other
    bool first;           // nothing is in y yet
    float* y;             // of the tile's first row
    std::size_t y_stride;
    const float* bias;  // null: none, or not in this run
    Next next;
  };

  static Sum y(const Part& p, std::size_t r, std::size_t v) noexcept {
    return Lanes::load(p.y + r * p.y_stride + v * kLanes, kLanes);
  }

  // sums[r][v] = f(r, v, sums[r][v])
  template <std::size_t Rows, std::size_t Vectors, class F>
  [[gnu::always_inline]] static void for_each(Sum (&sums)[Rows][Vectors], F f) noexcept {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) sums[r][v] = f(r, v, sums[r][v]);
    }
  }

  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void store(const Part& p, Sum (&sums)[Rows][Vectors]) noexcept {
    if (p.bias != nullptr) {
      for_each(sums, [&](std::size_t /*r*/, std::size_t v, const Sum& sum) {
        return Lanes::add(sum, Lanes::load(p.bias + v * kLanes, kLanes));
      });
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) Lanes::store(sums[r][v], p.y + r * p.y_stride + v * kLanes, kLanes);
    }
  }

  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void clear(Sum (&sums)[Rows][Vectors]) noexcept {
    for_each(sums, [](std::size_t /*r*/, std::size_t /*v*/, const Sum& /*sum*/) { return Lanes::zero(); });
  }

  // Piece `piece` of n_pieces of what is to be fetched. All pieces take the same way through it, so that no branch is
  // mispredicted, and the last ones may fetch what is there already.
  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void fetch(const Part& p, std::size_t piece, std::size_t n_pieces) noexcept {
    if constexpr (Rows == 1) return;  // alone: there is no next tile
    const std::size_t row = piece / Vectors < Rows ? piece / Vectors : Rows - 1;
    __builtin_prefetch(p.next.y + row * p.y_stride + piece % Vectors * kLanes);
    const std::size_t share = (p.next.n_lines * Vectors + n_pieces - 1) / n_pieces;
    for (std::size_t i = piece * share; i < (piece + 1) * share; ++i) {
      __builtin_prefetch(p.next.w.first + i % Vectors * p.next.w.panel_stride + i / Vectors * p.next.w.line_stride);
    }
  }

  // sums[r][v] = dot(sums[r][v], units of row r, line of panel v) over the lines of the part, of `Units` units each, which lie
  // Rows apart.
  template <std::size_t Units, std::size_t Rows, std::size_t Vectors, class Dot>
  [[gnu::always_inline]] static void chain(const Part& p, Sum (&sums)[Rows][Vectors], Dot dot) noexcept {
    constexpr std::size_t kPieceLines = 32 / Lanes::kVectors;
    const std::size_t n_pieces = (p.n_lines + kPieceLines - 1) / kPieceLines;
    std::size_t i = 0;
    for (std::size_t piece = 0; piece < n_pieces; ++piece) {
      fetch<Rows, Vectors>(p, piece, n_pieces);
      const std::size_t end = piece + 1 < n_pieces ? i + kPieceLines : p.n_lines;
#pragma GCC unroll 4
      for (; i < end; ++i) {
        Weights w[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) w[v] = Lanes::weights(p.w + v * p.panel_stride + i * kLineBytes);
#pragma GCC unroll 2
        for (std::size_t u = 0; u < Units; ++u) {
#pragma GCC unroll 8
          for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
              sums[r][v] = dot(sums[r][v], p.x[(i * Units + u) * Rows + r], w[v], u);
            }
          }
        }
      }
    }
  }

  // What a line of weights holds: kStep inputs of kPanels panels, number i of them as float32.
  struct F32Line {
    static constexpr std::size_t kStep = kF32Step;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRows = Lanes::kF32Rows;  // that multiply lines as they are
    static Sum floats(const Weights& w, std::size_t /*i*/) noexcept { return Lanes::as_floats(w); }
  };
  struct Bf16Line {
    static constexpr std::size_t kStep = kBf16Step;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRows = Lanes::kBf16Rows;
    static Sum floats(const Weights& w, std::size_t i) noexcept { return i == 0 ? Lanes::lower_bf16(w) : Lanes::upper_bf16(w); }
  };
  // Of weights that lie input by input.
  struct F32Row : F32Line {
    static constexpr std::size_t kRows = 0;
  };
  struct Bf16Row : Bf16Line {
    static constexpr std::size_t kStep = 1;
    static constexpr std::size_t kPanels = 2;
    static constexpr std::size_t kRows = 0;
  };

  // Where the chains of float32 sums begin and end.
  enum class Chains { runs, whole };

  // A format says:
  //
  //   kRows        rows of a tile
  //   kStoredRows  those that multiply lines as they are stored; more take lines widened to what the format Widened has, if
  //                kWidens: widen() does so with a run's lines of one panel, to at most kWideLines
  //   kPanels      panels that a line is part of
  //   kRunLines    lines of a run
  //   n_lines(b), units(n), group(n)   lines of a panel; units of a row, and groups, before line n, which begins a run
  //   run<Rows, Vectors>(part)         the tile's product by some lines

  // Inputs and weights multiplied as float32.
  template <class Stored, Chains Order>
  struct Floats {
    using Widened = Floats<F32Line, Order>;
    static constexpr std::size_t kRows = Lanes::kF32Rows;
    static constexpr std::size_t kStoredRows = Stored::kRows;
    static constexpr bool kWidens = kStoredRows < kRows;
    static constexpr std::size_t kWideLines = kSumRun;
    static constexpr std::size_t kPanels = Stored::kPanels;
    static constexpr std::size_t kRunLines = kSumRun / Stored::kStep;

    static std::size_t n_lines(const MatmulBlock& b) noexcept { return (b.n_in + Stored::kStep - 1) / Stored::kStep; }
    static std::size_t units(std::size_t line) noexcept { return line * Stored::kStep; }
    static std::size_t group(std::size_t /*line*/) noexcept { return 0; }

    // The number of lines that `out` now has. place: which of the stored line's panels.
    static std::size_t widen(const std::byte* line, std::size_t stride, std::size_t n, std::size_t place,
                             std::byte* out) noexcept {
      auto* to = reinterpret_cast<float*>(out);
      for (std::size_t i = 0; i < n; ++i, line += stride) {
        const Weights w = Lanes::weights(line);
        for (std::size_t s = 0; s < Stored::kStep; ++s, to += kLanes) Lanes::store(Stored::floats(w, place + s), to, kLanes);
      }
      return n * Stored::kStep;
    }

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      if (Order == Chains::runs || p.first) {
        clear(sums);
      } else {
        for_each(sums, [&](std::size_t r, std::size_t v, const Sum& /*sum*/) { return y(p, r, v); });
      }
      chain<Stored::kStep>(p, sums, [](const Sum& sum, std::uint32_t x, const Weights& w, std::size_t i) {
        return Lanes::add_product(sum, __builtin_bit_cast(float, x), Stored::floats(w, i));
      });
      // y = 0 + sum after the first run, y + sum after the others. The 0 makes -0 the same as 0: see input_rows.hpp.
      if (Order == Chains::runs && p.first) {
        for_each(sums, [](std::size_t /*r*/, std::size_t /*v*/, const Sum& sum) { return Lanes::add(Lanes::zero(), sum); });
      } else if (Order == Chains::runs) {
        for_each(sums, [&](std::size_t r, std::size_t v, const Sum& sum) { return Lanes::add(y(p, r, v), sum); });
      }
      store(p, sums);
    }
  };

  // Pairs of bf16 multiplied as such.
  struct Bf16Pairs {
    static constexpr std::size_t kRows = Lanes::kF32Rows;
    static constexpr std::size_t kStoredRows = kRows;
    static constexpr bool kWidens = false;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRunLines = kSumRun / kBf16Step;

    static std::size_t n_lines(const MatmulBlock& b) noexcept { return (b.n_in + kBf16Step - 1) / kBf16Step; }
    static std::size_t units(std::size_t line) noexcept { return line; }
    static std::size_t group(std::size_t /*line*/) noexcept { return 0; }

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      if (p.first) {
        clear(sums);
      } else {
        for_each(sums, [&](std::size_t r, std::size_t v, const Sum& /*sum*/) { return y(p, r, v); });
      }
      chain<1>(p, sums,
               [](const Sum& sum, std::uint32_t x, const Weights& w, std::size_t /*i*/) { return Lanes::dot_bf16(sum, x, w); });
      store(p, sums);
    }
  };

  // Groups of whole numbers. Group says how many lines follow their line of scales, how one of them is multiplied with `kUnits`
  // of x, which lie `next` apart, and what a group's count and scales add to the sum.
  template <class Group>
  struct Grouped {
    using Widened = Grouped<typename Group::Widened>;
    static constexpr std::size_t kRows = Lanes::kIntRows;
    static constexpr std::size_t kStoredRows = kRows;
    static constexpr bool kWidens = !std::is_same_v<Group, typename Group::Widened>;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kGroupLines = 1 + Group::kSteps;
    static constexpr std::size_t kRunLines = kSumRun / Group::kInputs * kGroupLines;
    static constexpr std::size_t kWideLines = kSumRun / Group::kInputs * (1 + Group::kUnits * Group::kSteps);

    static std::size_t n_lines(const MatmulBlock& b) noexcept { return b.w.panel_stride / kLineBytes; }
    static std::size_t units(std::size_t line) noexcept { return group(line) * Group::kSteps * Group::kUnits; }
    static std::size_t group(std::size_t line) noexcept { return line / kGroupLines; }

    static std::size_t widen(const std::byte* line, std::size_t stride, std::size_t n, std::size_t /*place*/,
                             std::byte* out) noexcept {
      auto* to = reinterpret_cast<float*>(out);
      const auto put = [&](const Weights& w) {
        Lanes::store(Lanes::as_floats(w), to, kLanes);
        to += kLanes;
      };
      for (std::size_t i = 0; i < n; ++i, line += stride) {
        const Weights w = Lanes::weights(line);
        if (i % kGroupLines == 0) {
          put(w);
        } else {
          put(Lanes::low_fours(w));
          put(Lanes::high_fours(w));
        }
      }
      return static_cast<std::size_t>(to - reinterpret_cast<float*>(out)) / kLanes;
    }

    template <std::size_t Rows, std::size_t Vectors>
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      if (p.first) {
        clear(sums);
      } else {
        for_each(sums, [&](std::size_t r, std::size_t v, const Sum& /*sum*/) { return y(p, r, v); });
      }
      const std::byte* w = p.w;
      const std::byte* const end = w + p.n_lines * kLineBytes;
      const std::uint32_t* x = p.x;
      const std::size_t n_groups = (p.n_lines + kGroupLines - 1) / kGroupLines;
      for (std::size_t g = p.group; w != end; ++g) {
        fetch<Rows, Vectors>(p, g - p.group, n_groups);
        const std::byte* scales = w;
        w += kLineBytes;
        Count counts[Rows][Vectors];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const Count start = Group::start(p.b.x_sums[(p.row + r) * p.b.n_groups + g]);
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) counts[r][v] = start;
        }
        const auto left = static_cast<std::size_t>(end - w) / kLineBytes;
        const std::size_t n_steps = left < Group::kSteps ? left : Group::kSteps;
        for (std::size_t i = 0; i < n_steps; ++i, w += kLineBytes, x += Group::kUnits * Rows) {
          Weights line[Vectors];
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) line[v] = Lanes::weights(w + v * p.panel_stride);
#pragma GCC unroll 8
          for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
              counts[r][v] = Group::dot(counts[r][v], line[v], x + r, Rows);
            }
          }
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const std::size_t group = (p.row + r) * p.b.n_groups + g;
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) {
            sums[r][v] =
                Group::add(sums[r][v], counts[r][v], p.b.x_scales[group], p.b.x_sums[group], scales + v * p.panel_stride);
          }
        }
      }
      store(p, sums);
    }
  };

  struct Int8Group {
    using Widened = Int8Group;
    static constexpr std::size_t kInputs = kInt8Group;
    static constexpr std::size_t kSteps = kInt8Group / kInt8Step;
    static constexpr std::size_t kUnits = 1;
    static Count start(std::int32_t x_sum) noexcept { return Lanes::int8_start(x_sum); }
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x, std::size_t /*next*/) noexcept {
      return Lanes::dot_int8(count, line, *x);
    }
    static Sum add(const Sum& sum, const Count& count, float x_scale, std::int32_t /*x_sum*/,
                   const std::byte* scales) noexcept {
      return Lanes::add_scaled(sum, count, x_scale, Lanes::as_floats(Lanes::weights(scales)));
    }
  };

  // Four inputs to a line, a byte each.
  struct WideInt4Group {
    using Widened = WideInt4Group;
    static constexpr std::size_t kInputs = kInt4Group;
    static constexpr std::size_t kSteps = kInt4Group / 4;
    static constexpr std::size_t kUnits = 1;
    static Count start(std::int32_t /*x_sum*/) noexcept { return Lanes::count(0); }
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x, std::size_t /*next*/) noexcept {
      return Lanes::dot_int4(count, line, *x);
    }
    static Sum add(const Sum& sum, const Count& count, float x_scale, std::int32_t x_sum, const std::byte* scales) noexcept {
      const Weights pairs = Lanes::weights(scales);
      const Sum scaled = Lanes::add_scaled(sum, count, x_scale, Lanes::upper_bf16(pairs));
      return Lanes::add_product(scaled, static_cast<float>(x_sum) * x_scale, Lanes::lower_bf16(pairs));
    }
  };
  struct Int4Group : WideInt4Group {
    using Widened = WideInt4Group;
    static constexpr std::size_t kSteps = kInt4Group / kInt4Step;
    static constexpr std::size_t kUnits = 2;
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x, std::size_t next) noexcept {
      return Lanes::dot_int4(Lanes::dot_int4(count, Lanes::low_fours(line), x[0]), Lanes::high_fours(line), x[next]);
    }
  };

  using F32 = Floats<F32Line, Chains::runs>;
  using F32ByBf16 = Floats<Bf16Line, Chains::runs>;
  using F32ByRows = Floats<F32Row, Chains::runs>;
  using F32ByBf16Rows = Floats<Bf16Row, Chains::runs>;
  using Bf16 = std::conditional_t<Lanes::kMultipliesBf16, Bf16Pairs, Floats<Bf16Line, Chains::whole>>;
  using Int8 = Grouped<Int8Group>;
  using Int4 = Grouped<Int4Group>;
};

}  // namespace ffmem::kernels
