// Matrix products by packed weights: the loops over panels, runs of inputs and rows around the tiles of matmul_tiles.hpp.
#pragma once

#include <numeric>

#include "ops/cpu/kernels/matmul_tiles.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct Matmul {
  using Part = typename RegisterTile<Lanes>::Part;
  using Next = typename RegisterTile<Lanes>::Next;
  static constexpr std::size_t kLoneVectors = Lanes::kLoneVectors;  // panels of a single row's tile
  static constexpr std::size_t kBlockPanels = 16;                   // rounded up to whole tiles
  static_assert(kLoneVectors <= kPanelsTogether);

  using TileKernel = void (*)(const Part&) noexcept;

  // Format::multiply for a tile of `rows` rows and `vectors` panels; more than Format::kVectors of them for one row alone.
  template <class Format>
  static TileKernel tile_kernel(std::size_t vectors, std::size_t rows) noexcept {
    return pick_vectors<Format, 1>(vectors, rows);
  }

  template <class Format, std::size_t Vectors>
  static TileKernel pick_vectors(std::size_t vectors, std::size_t rows) noexcept {
    if constexpr (Vectors < kLoneVectors) {
      if (vectors > Vectors) return pick_vectors<Format, Vectors + 1>(vectors, rows);
    }
    if constexpr (Vectors > Format::kVectors) {
      return Format::template multiply<1, Vectors>;
    } else {
      return pick_rows<Format, Vectors, 1>(rows);
    }
  }

  template <class Format, std::size_t Vectors, std::size_t Rows>
  static TileKernel pick_rows(std::size_t rows) noexcept {
    if constexpr (Rows < Format::kStoredRows) {
      if (rows > Rows) return pick_rows<Format, Vectors, Rows + 1>(rows);
    }
    return Format::template multiply<Rows, Vectors>;
  }

  // A tile whose last outputs do not exist, by way of memory where they do.
  template <class Format>
  static void multiply_edge(Part part, std::size_t vectors, std::size_t rows, std::size_t n_out) noexcept {
    alignas(64) float y[kMaxTileRows][kPanelsTogether * kLanes] = {};
    alignas(64) float bias[kPanelsTogether * kLanes] = {};
    float* const outside = part.y;
    for (std::size_t o = 0; o < n_out && part.bias != nullptr; ++o) bias[o] = part.bias[o];
    for (std::size_t r = 0; r < rows && !part.first; ++r) {
      for (std::size_t o = 0; o < n_out; ++o) y[r][o] = outside[r * part.y_stride + o];
    }
    const std::size_t stride = part.y_stride;
    part.y = y[0];
    part.y_stride = kPanelsTogether * kLanes;
    if (part.bias != nullptr) part.bias = bias;
    tile_kernel<Format>(vectors, rows)(part);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t o = 0; o < n_out; ++o) outside[r * stride + o] = y[r][o];
    }
  }

  // Lines [begin, end) of the panels [panel, panel + vectors), as they are stored.
  struct Run {
    std::size_t panel;
    std::size_t vectors;
    std::size_t begin;
    std::size_t end;

    std::size_t n_lines() const noexcept { return end - begin; }
  };

  // Line `line` of a panel.
  template <class Stored>
  static const std::byte* stored_line(const MatmulBlock& b, std::size_t panel, std::size_t line) noexcept {
    return b.w.first + (panel - panel % Stored::kPanels) * b.w.panel_stride + line * b.w.line_stride;
  }

  // What follows tile `tile` of a run: the next tile's y, or that of the first one of the panels behind, and a share of theirs,
  // `share` lines of each. A tile alone is followed by the next run, or by the panels behind.
  template <class Stored>
  static Next next_of(const MatmulBlock& b, const Run& run, const RowTiles& tiles, std::size_t tile,
                      std::size_t share) noexcept {
    const bool goes_on = tiles.count() == 1 && run.end < Stored::n_lines(b);
    const std::byte* const next =
        goes_on ? stored_line<Stored>(b, run.panel, run.end)
                : stored_line<Stored>(b, run.panel + run.vectors, tiles.count() == 1 ? 0 : run.begin + tile * share);
    // The last lane: where rows are not whole lines, the line of the first is there since the panel before.
    const float* y = b.y + run.panel * kLanes + kLanes - 1;
    y += tile + 1 < tiles.count() ? tiles.begin(tile + 1) * b.y_stride : run.vectors * kLanes;
    return {.y = y, .w = {.first = next, .panel_stride = b.w.panel_stride, .line_stride = b.w.line_stride}, .n_lines = share};
  }

  // All rows by a run of Stored's lines, which lie at `w` as n_lines of Format's, panels `panel_stride` apart.
  template <class Stored, class Format>
  static void multiply_tiles(const MatmulBlock& b, const Run& run, const std::byte* w, std::size_t n_lines,
                             std::size_t panel_stride) noexcept {
    const RowTiles tiles{b.n_rows, Stored::kRows};
    const std::size_t output = run.panel * kLanes;
    const bool last = run.end == Stored::n_lines(b);
    const std::size_t share = ceil_div(run.n_lines(), tiles.count());
    for (std::size_t tile = 0, row = 0; tile < tiles.count(); ++tile) {
      const std::size_t after = tiles.begin(tile + 1);
      const Part part{.b = b,
                      .row = row,
                      .group = Stored::group(run.begin),
                      .x = b.x + row * b.x_units + Stored::units(run.begin),
                      .w = w,
                      .panel_stride = panel_stride,
                      .line_stride = b.w.line_stride,
                      .n_lines = n_lines,
                      .first = run.begin == 0,
                      .y = b.y + row * b.y_stride + output,
                      .y_stride = b.y_stride,
                      .bias = b.bias != nullptr && last ? b.bias + output : nullptr,
                      .next = next_of<Stored>(b, run, tiles, tile, share)};
      if (output + run.vectors * kLanes <= b.n_out) {
        tile_kernel<Format>(run.vectors, after - row)(part);
      } else {
        multiply_edge<Format>(part, run.vectors, after - row, b.n_out - output);
      }
      row = after;
    }
  }

  // All rows by a run.
  template <class Format>
  static void multiply_run(const MatmulBlock& b, const Run& run) noexcept {
    if constexpr (Format::kWidens) {
      if (b.n_rows > Format::kStoredRows) {
        constexpr std::size_t kStride = Format::kWideLines * kLineBytes;
        alignas(64) std::byte room[Format::kVectors * kStride];
        std::size_t n_lines = 0;
        for (std::size_t v = 0; v < run.vectors; ++v) {
          const std::byte* const line = stored_line<Format>(b, run.panel + v, run.begin);
          const std::size_t place = (run.panel + v) % Format::kPanels;
          n_lines = Format::widen(line, b.w.line_stride, run.n_lines(), place, room + v * kStride);
        }
        return multiply_tiles<Format, typename Format::Widened>(b, run, room, n_lines, kStride);
      }
    }
    if constexpr (Format::kStoredRows > 0) {
      multiply_tiles<Format, Format>(b, run, stored_line<Format>(b, run.panel, run.begin), run.n_lines(), b.w.panel_stride);
    }
  }

  template <class Format>
  static void matmul(const MatmulBlock& b) noexcept {
    const std::size_t n_panels = ceil_div(b.n_out, kLanes);
    const std::size_t n_lines = Format::n_lines(b);
    constexpr std::size_t run = Format::kRunLines;
    // Few rows wait for their weights, and so read them in order. Many go on with the run of inputs that their cache holds, for
    // as many outputs as it holds too until the next run adds to them.
    const bool few = b.n_rows <= Format::kRows;
    const std::size_t together = b.n_rows == 1 && Format::kStoredRows > 0 ? kLoneVectors : Format::kVectors;
    const std::size_t block = few ? n_panels : round_up(kBlockPanels, together);
    const std::size_t lines = few ? n_lines : run;
    for (std::size_t first = 0; first < n_panels; first += block) {
      const std::size_t last = n_panels - first < block ? n_panels : first + block;
      for (std::size_t i = 0; i < n_lines; i += lines) {
        const std::size_t end = n_lines - i < lines ? n_lines : i + lines;
        for (std::size_t p = first; p < last; p += together) {
          const std::size_t vectors = least(last - p, together);
          for (std::size_t k = i; k < end; k += run) multiply_run<Format>(b, {p, vectors, k, end - k < run ? end : k + run});
        }
      }
    }
  }

  template <class Format>
  static constexpr MatmulKernel kernel(RowUnits units) noexcept {
    static_assert(Format::kRows <= kMaxTileRows && Format::kVectors <= kLoneVectors);
    static_assert(kPanelsTogether % Format::kPanels == 0);
    constexpr std::size_t panels = std::lcm(Format::kVectors, Format::kPanels);
    return {.run = matmul<Format>, .tile_rows = Format::kRows, .tile_panels = panels, .units = units};
  }
};

}  // namespace ffmem::kernels
