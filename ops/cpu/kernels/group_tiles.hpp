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
  using Count = typename Lanes::Count;      // 16 whole numbers
  using Weights = typename Lanes::Weights;  // 64 bytes of weights

  // Groups of whole numbers. Group says how many lines follow their line of scales, how one of them is multiplied with `kUnits`
  // of x, and what a group's count and scales add to the sum.
  template <class Group>
  struct Grouped {
    using Widened = Grouped<typename Group::Widened>;
    static constexpr std::size_t kVectors = Lanes::kIntVectors;
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
    static void run(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      Base::resume(p, sums);
      const std::byte* w = p.w;
      const std::byte* const end = w + p.n_lines * kLineBytes;
      const std::uint32_t* x = p.x;
      const std::size_t n_groups = (p.n_lines + kGroupLines - 1) / kGroupLines;
      const std::size_t lines = Base::piece_lines(p, n_groups);
      for (std::size_t g = p.group; w != end; ++g) {
        Base::template fetch<Rows, Vectors>(p, g - p.group, lines);
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
        // Whole groups in one piece: in a loop the compiler copies the counts from register to register.
        if (n_steps == Group::kSteps) {
#pragma GCC unroll 16
          for (std::size_t i = 0; i < Group::kSteps; ++i, w += kLineBytes, x += Group::kUnits) {
            add_line(counts, w, p.panel_stride, x, p.b.x_units);
          }
        } else {
          for (std::size_t i = 0; i < n_steps; ++i, w += kLineBytes, x += Group::kUnits) {
            add_line(counts, w, p.panel_stride, x, p.b.x_units);
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
      Base::store(p, sums);
    }
  };

  struct Int8Group {
    using Widened = Int8Group;
    static constexpr std::size_t kInputs = kInt8Group;
    static constexpr std::size_t kSteps = kInt8Group / kInt8Step;
    static constexpr std::size_t kUnits = 1;
    static Count start(std::int32_t x_sum) noexcept { return Lanes::int8_start(x_sum); }
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x) noexcept {
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
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x) noexcept {
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
    static Count dot(const Count& count, const Weights& line, const std::uint32_t* x) noexcept {
      return Lanes::dot_int4(Lanes::dot_int4(count, Lanes::low_fours(line), x[0]), Lanes::high_fours(line), x[1]);
    }
  };
};

}  // namespace ffmem::kernels
