// A tile of a matrix product: a few rows by a few panels of weights, with the sums in registers. What all formats of weights
// share; the products are in float_tiles.hpp and group_tiles.hpp, the rules for them in matmul_tiles.hpp. Vectors of 16
// outputs, whose arithmetic is given by Lanes (lanes.hpp, lanes_avx2.hpp, lanes_avx512.hpp).
#pragma once

#include "ops/cpu/matmul_kernels.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

// Inputs of a run.
constexpr std::size_t kSumRun = 512;

template <class Lanes>
struct RegisterTile {
  using Sum = typename Lanes::Sum;  // 16 float32

  // What is used after this tile: the next one's y, and this tile's share of the panels that come next. They are fetched in
  // pieces through the tile: in one go they would wait for each other. y even where nothing is read from it: the tile's stores
  // would wait for their lines, and the loads behind them.
  struct Next {
    const float* y;
    WeightLines w;
    std::size_t n_lines;  // of each panel
  };

  // Some lines of a tile, all lanes of whose vectors exist.
  struct Part {
    const MatmulBlock& b;
    std::size_t row;
    std::size_t group;       // the first line's, of the formats that have groups
    const std::uint32_t* x;  // the first line's units of the tile's first row
    const std::byte* w;      // the first line of the first panel
    std::size_t panel_stride;
    std::size_t line_stride;
    std::size_t n_lines;
    bool first;  // nothing is in y yet
    float* y;    // of the tile's first row
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
#pragma GCC unroll 9
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
#pragma GCC unroll 9
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) Lanes::store(sums[r][v], p.y + r * p.y_stride + v * kLanes, kLanes);
    }
  }

  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void clear(Sum (&sums)[Rows][Vectors]) noexcept {
    for_each(sums, [](std::size_t /*r*/, std::size_t /*v*/, const Sum& /*sum*/) { return Lanes::zero(); });
  }

  // What earlier runs left in y; zeros in the first.
  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void resume(const Part& p, Sum (&sums)[Rows][Vectors]) noexcept {
    if (p.first) {
      clear(sums);
    } else {
      for_each(sums, [&](std::size_t r, std::size_t v, const Sum& /*sum*/) { return y(p, r, v); });
    }
  }

  // Lines of each panel that a piece fetches.
  [[gnu::always_inline]] static std::size_t piece_lines(const Part& p, std::size_t n_pieces) noexcept {
    return ceil_div(p.next.n_lines, n_pieces);
  }

  // Piece `piece` of what is to be fetched: a row of y and some lines of each panel. Few instructions, which take the places of
  // products, and no state: more registers in use become copies in vector registers, which wait behind the products.
  template <std::size_t Rows, std::size_t Vectors>
  [[gnu::always_inline]] static void fetch(const Part& p, std::size_t piece, std::size_t lines) noexcept {
    if constexpr (Rows == 1) return;  // int8 lost a fifth by it; chain() has its own way
    if (piece < Rows) {
      const float* const y = p.next.y + piece * p.b.y_stride;
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) __builtin_prefetch(y + v * kLanes);
    }
    const std::size_t end = (piece + 1) * lines < p.next.n_lines ? (piece + 1) * lines : p.next.n_lines;
    for (std::size_t i = piece * lines; i < end; ++i) {
      const std::byte* const w = p.next.w.first + i * p.next.w.line_stride;
#pragma GCC unroll 4
      for (std::size_t v = 0; v < Vectors; ++v) __builtin_prefetch(w + v * p.next.w.panel_stride);
    }
  }

  // sums[r][v] = dot(sums[r][v], units of row r, line of panel v) over the lines of the part, of `Units` units each. Apart: a
  // line is followed by the next panel's, not by the panel's next.
  template <std::size_t Units, bool Apart, std::size_t Rows, std::size_t Vectors, class Dot>
  [[gnu::always_inline]] static void chain(const Part& p, Sum (&sums)[Rows][Vectors], Dot dot) noexcept {
    constexpr std::size_t kPieceLines = Lanes::kF32Vectors == 1 ? 32 : 8;
    constexpr std::size_t kLinesAhead = 64;  // of a row alone, which waits for its weights
    const std::size_t n_pieces = ceil_div(p.n_lines, kPieceLines);
    const std::size_t line_stride = Apart ? p.line_stride : kLineBytes;
    const std::size_t panel_stride = Apart ? kLineBytes : p.panel_stride;
    const std::size_t lines = piece_lines(p, n_pieces);
    std::size_t i = 0;
    for (std::size_t piece = 0; piece < n_pieces; ++piece) {
      fetch<Rows, Vectors>(p, piece, lines);
      const std::size_t end = piece + 1 < n_pieces ? i + kPieceLines : p.n_lines;
#pragma GCC unroll 4
      for (; i < end; ++i) {
        typename Lanes::Weights w[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) w[v] = Lanes::weights(p.w + v * panel_stride + i * line_stride);
        if constexpr (Rows == 1) {
          const std::byte* const ahead = p.w + (i + kLinesAhead) * kLineBytes;
#pragma GCC unroll 4
          for (std::size_t v = 0; v < Vectors; ++v) __builtin_prefetch(ahead + v * p.panel_stride);
        }
#pragma GCC unroll 2
        for (std::size_t u = 0; u < Units; ++u) {
#pragma GCC unroll 9
          for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
              sums[r][v] = dot(sums[r][v], p.x[r * p.b.x_units + i * Units + u], w[v], u);
            }
          }
        }
      }
    }
  }
};

}  // namespace ffmem::kernels
