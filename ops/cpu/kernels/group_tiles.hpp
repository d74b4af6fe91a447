// Tiles whose weights and inputs are whole numbers in groups that share a scale; the formats' rules: matmul_tiles.hpp.
#pragma once

#include <type_traits>

#include "ops/cpu/kernels/register_tile.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct GroupTiles : RegisterTile<Lanes> {
  using Base = RegisterTile<Lanes>;
  using typename Base::Part;
  using typename Base::Sum;
  using Weights = typename Lanes::Weights;  // 64 bytes of weights

  // Groups of whole numbers. Group says
  //
  //   kRows                              as a format (matmul_tiles.hpp)
  //   kInputs, kSteps                    inputs of a group, the lines that follow its line of scales
  //   kUnits                             of x that a line is multiplied by
  //   Count                              16 whole numbers
  //   start(b, place)                    the count before the first line; place: of a group and row in x_scales
  //   dot(count, line, x)                with a line's products
  //   add(sum, count, b, place, scales)  the sum with what the count and both scales make
  //   widen(line, put)                   calls put() with each line of Widened that a line becomes
  template <class Group>
  struct Grouped {
    using Widened = Grouped<typename Group::Widened>;
    using Count = typename Group::Count;
    static constexpr std::size_t kVectors = Lanes::kIntVectors;
    static constexpr std::size_t kRows = Group::kRows;
    static constexpr std::size_t kStoredRows = kRows;
    static constexpr bool kWidens = !std::is_same_v<Group, typename Group::Widened>;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kGroupLines = 1 + Group::kSteps;
    // Steps without a branch between them.
    static constexpr std::size_t kTogether = Group::kSteps < Lanes::kIntSteps ? Group::kSteps : Lanes::kIntSteps;
    static_assert(Group::kSteps % kTogether == 0);
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
          Group::widen(w, put);
        }
      }
      return static_cast<std::size_t>(to - reinterpret_cast<float*>(out)) / kLanes;
    }

    // counts[r][v] += line of panel v times the units of row r that it multiplies.
    template <std::size_t Rows, std::size_t Vectors>
    [[gnu::always_inline]] static void add_line(Count (&counts)[Rows][Vectors], const std::byte* w, std::size_t panel_stride,
                                                const std::uint32_t* x, std::size_t x_units) noexcept {
      Weights line[Vectors];
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) line[v] = Lanes::weights(w + v * panel_stride);
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) counts[r][v] = Group::dot(counts[r][v], line[v], x + r * x_units);
      }
    }

    template <std::size_t Rows, std::size_t Vectors>
    static void multiply(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      Base::resume(p, sums);
      const std::byte* w = p.w;
      const std::uint32_t* x = p.x;
      const std::size_t n_groups = p.n_lines / kGroupLines;
      const std::size_t lines = Base::piece_lines(p, n_groups);
      for (std::size_t g = 0; g < n_groups; ++g) {
        Base::template fetch<Rows, Vectors>(p, g, lines);
        const std::byte* const scales = w;
        w += kLineBytes;
        const std::size_t first = (p.group + g) * p.b.x_rows + p.row;
        Count counts[Rows][Vectors];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
          const Count start = Group::start(p.b, first + r);
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) counts[r][v] = start;
        }
        for (std::size_t step = 0; step < Group::kSteps; step += kTogether) {
#pragma GCC unroll 16
          for (std::size_t i = 0; i < kTogether; ++i, w += kLineBytes, x += Group::kUnits) {
            add_line(counts, w, p.panel_stride, x, p.b.x_units);
          }
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) {
            sums[r][v] = Group::add(sums[r][v], counts[r][v], p.b, first + r, scales + v * p.panel_stride);
          }
        }
      }
      Base::store(p, sums);
    }
  };

  template <std::size_t Inputs, std::size_t LineInputs>
  struct GroupSizes {
    static constexpr std::size_t kInputs = Inputs;
    static constexpr std::size_t kSteps = Inputs / LineInputs;
    static constexpr std::size_t kUnits = 1;
  };

  struct Int8Group : GroupSizes<kInt8Group, kInt8Step> {
    using Widened = Int8Group;
    using Count = typename Lanes::Count;
    static constexpr std::size_t kUnits = Lanes::kInt8Units;
    static constexpr std::size_t kRows = Lanes::kIntRows;
    static Count start(const MatmulBlock& b, std::size_t place) noexcept { return Lanes::count(b.x_starts[place]); }
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x) noexcept {
      return Lanes::dot_int8(count, line, x);
    }
    static Sum add(const Sum& sum, const Count& count, const MatmulBlock& b, std::size_t place,
                   const std::byte* scales) noexcept {
      return Lanes::add_scaled(sum, count, b.x_scales[place], Lanes::as_floats(Lanes::weights(scales)));
    }
  };

  // Four inputs to a line, a byte each.
  struct WideInt4Group : GroupSizes<kInt4Group, 4> {
    using Widened = WideInt4Group;
    using Count = typename Lanes::Int4Count;
    static constexpr std::size_t kRows = Lanes::kInt4Rows;
    static Count start(const MatmulBlock& /*b*/, std::size_t /*place*/) noexcept { return Lanes::int4_start(); }
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x) noexcept {
      return Lanes::dot_int4(count, line, *x);
    }
    static Sum add(const Sum& sum, const Count& count, const MatmulBlock& b, std::size_t place,
                   const std::byte* scales) noexcept {
      const Weights pairs = Lanes::weights(scales);
      const Sum scaled = Lanes::add_scaled(sum, count, b.x_scales[place], Lanes::upper_bf16(pairs));
      return Lanes::add_product(scaled, b.x_sums[place], Lanes::lower_bf16(pairs));
    }
  };
  struct Int4Group : WideInt4Group {
    using Widened = WideInt4Group;
    static constexpr std::size_t kSteps = kInt4Group / kInt4Step;
    static constexpr std::size_t kUnits = 2;
    static typename Lanes::Int4Count dot(const typename Lanes::Int4Count& count, const Weights& line,
                                         const std::uint32_t* x) noexcept {
      return Lanes::dot_int4(Lanes::dot_int4(count, Lanes::low_fours(line), x[0]), Lanes::high_fours(line), x[1]);
    }
    template <class Put>
    static void widen(const Weights& line, const Put& put) noexcept {
      put(Lanes::low_fours(line));
      put(Lanes::high_fours(line));
    }
  };
};

}  // namespace ffmem::kernels
