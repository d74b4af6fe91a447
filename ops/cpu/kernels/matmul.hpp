// Matrix products by packed weights: the loops over panels, runs of inputs and rows around the tiles of matmul_tiles.hpp.
#pragma once

#include "ops/cpu/kernels/matmul_tiles.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct Matmul {
  using Tiles = MatmulTiles<Lanes>;
  using Part = typename Tiles::Part;
  static constexpr std::size_t kVectors = Lanes::kVectors;          // panels that are summed together
  static constexpr std::size_t kLoneVectors = Lanes::kLoneVectors;  // likewise for a single row, >= kVectors
  static_assert(kLoneVectors <= kPanelsTogether);

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

  // Fetches n lines, `stride` bytes apart.
  static void fetch(const std::byte* line, std::size_t n, std::size_t stride) noexcept {
    for (std::size_t i = 0; i < n; ++i) __builtin_prefetch(line + i * stride);
  }

  // Steps [begin, end) of all rows against the panels [panel, panel + vectors). Each tile fetches the lines of y that the next
  // one writes, whose rows lie in pages of their own (waiting for them would cost a sixth of the time), and a share of the
  // panels that come after these.
  template <class Format>
  static void run_rows(const MatmulBlock& b, std::size_t panel, std::size_t vectors, std::size_t begin,
                       std::size_t end) noexcept {
    const std::size_t n_lines = Format::kRunSteps == 0 ? b.panel_bytes / kLineBytes : end - begin;
    const std::size_t n_tiles = (b.n_rows + Format::kRows - 1) / Format::kRows;
    const std::size_t share = (n_lines + n_tiles - 1) / n_tiles;
    const std::byte* next = b.w + (panel + vectors) * b.panel_bytes + begin * kLineBytes;
    for (std::size_t row = 0; row < b.n_rows; row += Format::kRows) {
      const std::size_t rows = b.n_rows - row < Format::kRows ? b.n_rows - row : Format::kRows;
      if (b.n_rows > Format::kRows) {
        const std::size_t after = row + rows;
        const std::size_t rows_after = b.n_rows - after < Format::kRows ? b.n_rows - after : Format::kRows;
        for (std::size_t v = 0; v < vectors; ++v) {
          const float* y = b.y + after * b.y_stride + (panel + v) * kLanes;
          fetch(reinterpret_cast<const std::byte*>(y), rows_after, b.y_stride * sizeof *y);
          fetch(next + v * b.panel_bytes, share, kLineBytes);
        }
        next += share * kLineBytes;
      }
      runner<Format>(vectors, rows)({b, b.w + panel * b.panel_bytes, row, panel * kLanes, begin, end});
    }
  }

  template <class Format>
  static void matmul(const MatmulBlock& b) noexcept {
    const std::size_t n_panels = (b.n_out + kLanes - 1) / kLanes;
    const std::size_t n_steps = (b.n_in + Format::kStep - 1) / Format::kStep;
    const std::size_t run = Format::kRunSteps == 0 ? n_steps : Format::kRunSteps;
    // Few rows wait for their weights, and so read them in order; many go on with the run of inputs that their cache holds.
    const bool few = b.n_rows <= Format::kRows;
    const std::size_t together = b.n_rows == 1 ? kLoneVectors : kVectors;
    for (std::size_t i = 0; i < n_steps; i += few ? n_steps : run) {
      for (std::size_t p = 0; p < n_panels; p += together) {
        const std::size_t vectors = n_panels - p < together ? n_panels - p : together;
        const std::size_t last = few || n_steps - i < run ? n_steps : i + run;
        for (std::size_t k = i; k < last; k += run) {
          run_rows<Format>(b, p, vectors, k, last - k < run ? last : k + run);
        }
      }
    }
  }
};

}  // namespace ffmem::kernels
