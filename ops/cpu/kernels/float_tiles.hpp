// Tiles whose products are float32's or those of pairs of bf16; the formats' rules: matmul_tiles.hpp.
#pragma once

#include "ops/cpu/kernels/register_tile.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct FloatTiles : RegisterTile<Lanes> {
  using Base = RegisterTile<Lanes>;
  using typename Base::Part;
  using typename Base::Sum;
  using Weights = typename Lanes::Weights;  // 64 bytes of weights

  // What a line of weights holds: kStep inputs of kPanels panels, number i of them as float32.
  struct F32Line {
    static constexpr std::size_t kStep = kF32Step;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRows = Lanes::kF32Rows;  // that multiply lines as they are
    static constexpr bool kApart = false;                  // a panel's next line does not follow, but the next panel's does
    static Sum floats(const Weights& w, std::size_t /*i*/) noexcept { return Lanes::as_floats(w); }
  };
  struct Bf16Line {
    static constexpr std::size_t kStep = kBf16Step;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRows = Lanes::kBf16Rows;
    static constexpr bool kApart = false;
    static Sum floats(const Weights& w, std::size_t i) noexcept { return i == 0 ? Lanes::lower_bf16(w) : Lanes::upper_bf16(w); }
  };
  // Of weights that lie input by input. Three panels' lines at a time are read where they lie; for one or two at a time a copy,
  // whose lines follow each other, is faster.
  struct F32Row : F32Line {
    static constexpr std::size_t kRows = Lanes::kF32Vectors == 3 ? Lanes::kF32Rows : 0;
    static constexpr bool kApart = true;
  };
  struct Bf16Row : Bf16Line {
    static constexpr std::size_t kStep = 1;
    static constexpr std::size_t kPanels = 2;
    static constexpr std::size_t kRows = 0;
  };

  // Where the chains of float32 sums begin and end.
  enum class Chains { runs, whole };

  // Inputs and weights multiplied as float32.
  template <class Line, Chains Order>
  struct Floats {
    using Widened = Floats<F32Line, Order>;
    static constexpr std::size_t kVectors = Lanes::kF32Vectors;
    static constexpr std::size_t kRows = Lanes::kF32Rows;
    static constexpr std::size_t kStoredRows = Line::kRows;
    static constexpr bool kWidens = kStoredRows < kRows;
    static constexpr std::size_t kWideLines = kSumRun;
    static constexpr std::size_t kPanels = Line::kPanels;
    static constexpr std::size_t kRunLines = kSumRun / Line::kStep;

    static std::size_t n_lines(const MatmulBlock& b) noexcept { return ceil_div(b.n_in, Line::kStep); }
    static std::size_t units(std::size_t line) noexcept { return line * Line::kStep; }
    static std::size_t group(std::size_t /*line*/) noexcept { return 0; }

    // The number of lines that `out` now has. place: which of the stored line's panels.
    static std::size_t widen(const std::byte* line, std::size_t stride, std::size_t n, std::size_t place,
                             std::byte* out) noexcept {
      auto* to = reinterpret_cast<float*>(out);
      for (std::size_t i = 0; i < n; ++i, line += stride) {
        const Weights w = Lanes::weights(line);
        for (std::size_t s = 0; s < Line::kStep; ++s, to += kLanes) Lanes::store(Line::floats(w, place + s), to, kLanes);
      }
      return n * Line::kStep;
    }

    template <std::size_t Rows, std::size_t Vectors>
    static void multiply(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      if (Order == Chains::runs) {
        Base::clear(sums);
      } else {
        Base::resume(p, sums);
      }
      Base::template chain<Line::kStep, Line::kApart>(
          p, sums, [](const Sum& sum, std::uint32_t x, const Weights& w, std::size_t i) {
            return Lanes::add_product(sum, __builtin_bit_cast(float, x), Line::floats(w, i));
          });
      // y = 0 + sum after the first run, y + sum after the others. The 0 makes -0 the same as 0: see sparse_matmul.hpp.
      if (Order == Chains::runs && p.first) {
        Base::for_each(sums,
                       [](std::size_t /*r*/, std::size_t /*v*/, const Sum& sum) { return Lanes::add(Lanes::zero(), sum); });
      } else if (Order == Chains::runs) {
        Base::for_each(sums, [&](std::size_t r, std::size_t v, const Sum& sum) { return Lanes::add(Base::y(p, r, v), sum); });
      }
      Base::store(p, sums);
    }
  };

  // Pairs of bf16 multiplied as such.
  struct Bf16Pairs {
    static constexpr std::size_t kVectors = Lanes::kF32Vectors;
    static constexpr std::size_t kRows = Lanes::kF32Rows;
    static constexpr std::size_t kStoredRows = kRows;
    static constexpr bool kWidens = false;
    static constexpr std::size_t kPanels = 1;
    static constexpr std::size_t kRunLines = kSumRun / kBf16Step;

    static std::size_t n_lines(const MatmulBlock& b) noexcept { return ceil_div(b.n_in, kBf16Step); }
    static std::size_t units(std::size_t line) noexcept { return line; }
    static std::size_t group(std::size_t /*line*/) noexcept { return 0; }

    template <std::size_t Rows, std::size_t Vectors>
    static void multiply(const Part& p) noexcept {
      Sum sums[Rows][Vectors];
      Base::resume(p, sums);
      Base::template chain<1, false>(p, sums, [](const Sum& sum, std::uint32_t x, const Weights& w, std::size_t /*i*/) {
        return Lanes::dot_bf16(sum, x, w);
      });
      Base::store(p, sums);
    }
  };
};

}  // namespace ffmem::kernels
