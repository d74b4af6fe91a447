// Matrix products by a tile unit, as AMX is one: tiles of 16 rows by 64 bytes whose product adds to 16 x 16 sums. Weights and x
// lie as ops/cpu/matmul_kernels.hpp says.
//
//   bf16   a product adds the even and the odd ones of 32 inputs, each in order and from zero, then their sum to the sums of
//          the inputs before; the bias added last
//   int8   the same numbers as matmul_tiles.hpp; few rows are better off there
//
// Lanes are as there. A Unit (amx_unit.hpp; a model of it in plain C++ under tests/) has eight tiles: 0 to 3 for sums, 4 and 5
// for x, 6 and 7 for weights.
//
//   configure(rows0, rows1)                 rows of the tiles 0, 1 and 4, and of 2, 3 and 5
//   zero, load, store, dot_bf16, dot_int8   on tiles with these numbers, whose rows begin so many bytes apart
//   release()                               before any other code runs for long
#pragma once

#include "ops/cpu/kernels/group_tiles.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Lanes, class Unit>
struct TileMatmul {
  using Sum = typename Lanes::Sum;
  using Int8 = typename GroupTiles<Lanes>::Int8Group;

  static constexpr std::size_t kTileRows = 16;
  static constexpr std::size_t kTileLines = 16;  // of weights, and units of a row of x
  static constexpr std::size_t kTileBytes = kTileLines * kLineBytes;
  static_assert(kTileLines == kBlockUnits && kTileLines * kInt8Step == kInt8Group);
  static constexpr std::size_t kRowsTogether = 2 * kTileRows;
  // Blocks of inputs, a tile's lines each, that many rows go through before the next ones: their bf16 weights for two panels
  // fill a third of the first-level cache.
  static constexpr std::size_t kRunBlocks = 8;
  // Tiles of rows whose sums wait for the next run.
  static constexpr std::size_t kTilesTogether = 8;

  // A panel's bf16: whole tiles where they lie, then a filled up copy of the lines behind the last whole one.
  struct Bf16Panel {
    const std::byte* lines;
    alignas(kLineBytes) std::byte rest[kTileBytes];

    Bf16Panel(const MatmulBlock& b, std::size_t panel) noexcept : lines(b.w.first + panel * b.w.panel_stride) {
      const std::size_t n_lines = ceil_div(b.n_in, kBf16Step);
      const std::size_t n_rest = n_lines % kTileLines * kLineBytes;
      const std::byte* const from = lines + n_lines / kTileLines * kTileBytes;
      for (std::size_t i = 0; n_rest != 0 && i < kTileBytes; ++i) rest[i] = i < n_rest ? from[i] : std::byte{};
    }
  };

  // Sums of one tile of rows and two panels: the two tiles of its first rows, then those of its second.
  struct Sums {
    alignas(kLineBytes) float tiles[4][kTileRows][kLanes];

    template <int Halves, int Panels>
    [[gnu::always_inline]] void zero() const noexcept {
      Unit::template zero<0>();
      if constexpr (Panels == 2) Unit::template zero<1>();
      if constexpr (Halves == 2) Unit::template zero<2>();
      if constexpr (Halves == 2 && Panels == 2) Unit::template zero<3>();
    }
    template <int Halves, int Panels>
    [[gnu::always_inline]] void load() const noexcept {
      Unit::template load<0>(tiles[0], kLineBytes);
      if constexpr (Panels == 2) Unit::template load<1>(tiles[1], kLineBytes);
      if constexpr (Halves == 2) Unit::template load<2>(tiles[2], kLineBytes);
      if constexpr (Halves == 2 && Panels == 2) Unit::template load<3>(tiles[3], kLineBytes);
    }
    template <int Halves, int Panels>
    [[gnu::always_inline]] void store() noexcept {
      Unit::template store<0>(tiles[0], kLineBytes);
      if constexpr (Panels == 2) Unit::template store<1>(tiles[1], kLineBytes);
      if constexpr (Halves == 2) Unit::template store<2>(tiles[2], kLineBytes);
      if constexpr (Halves == 2 && Panels == 2) Unit::template store<3>(tiles[3], kLineBytes);
    }
    // Rows [row, row + n_rows) of tile `tile`, finished.
    void finish(const MatmulBlock& b, std::size_t tile, std::size_t row, std::size_t n_rows,
                std::size_t output) const noexcept {
      const std::size_t n = least(b.n_out - output, kLanes);
      const Sum bias = b.bias == nullptr ? Lanes::zero() : Lanes::load(b.bias + output, n);
      for (std::size_t r = 0; r < n_rows; ++r) {
        const Sum sum = Lanes::load(tiles[tile][r], kLanes);
        Lanes::store(b.bias == nullptr ? sum : Lanes::add(sum, bias), b.y + (row + r) * b.y_stride + output, n);
      }
    }
  };

  // Some rows of x that lie together.
  struct Rows {
    std::size_t begin;
    std::size_t n;
    const std::uint32_t* x;

    Rows(const MatmulBlock& b, const RowTiles& tiles, std::size_t tile) noexcept
        : begin(tiles.begin(tile)), n(tiles.begin(tile + 1) - begin), x(b.x + begin * b.x_units) {}

    std::size_t n_first() const noexcept { return least(n, kTileRows); }
    std::size_t n_second() const noexcept { return n - n_first(); }
    // Block `block` of all rows' units.
    const std::uint32_t* units(std::size_t block) const noexcept { return x + block * n * kBlockUnits; }
    void configure() const noexcept { Unit::configure(n_first(), n_second() == 0 ? n_first() : n_second()); }
  };

  // Adds the products of one tile of inputs for each of Halves x Panels tiles of sums.
  template <int Halves, int Panels>
  [[gnu::always_inline]] static void add_bf16(const std::uint32_t* x, const std::byte* first,
                                              const std::byte* second) noexcept {
    Unit::template load<6>(first, kLineBytes);
    Unit::template load<4>(x, kLineBytes);
    Unit::template dot_bf16<0, 4, 6>();
    if constexpr (Panels == 2) {
      Unit::template load<7>(second, kLineBytes);
      Unit::template dot_bf16<1, 4, 7>();
    }
    if constexpr (Halves == 2) {
      Unit::template load<5>(x + kTileRows * kBlockUnits, kLineBytes);
      Unit::template dot_bf16<2, 5, 6>();
      if constexpr (Panels == 2) Unit::template dot_bf16<3, 5, 7>();
    }
  }

  // Blocks [begin, end) of the inputs.
  struct Blocks {
    std::size_t begin;
    std::size_t end;
  };

  template <int Halves, int Panels>
  static void bf16_tiles(const MatmulBlock& b, const Rows& rows, Blocks blocks, std::size_t output, const Bf16Panel& first,
                         const Bf16Panel& second, Sums& sums) noexcept {
    const std::size_t n_lines = ceil_div(b.n_in, kBf16Step);
    if (blocks.begin == 0) {
      sums.template zero<Halves, Panels>();
    } else {
      sums.template load<Halves, Panels>();
    }
    std::size_t block = blocks.begin;
    for (; block < blocks.end && (block + 1) * kTileLines <= n_lines; ++block) {
      add_bf16<Halves, Panels>(rows.units(block), first.lines + block * kTileBytes, second.lines + block * kTileBytes);
    }
    if (block < blocks.end) add_bf16<Halves, Panels>(rows.units(block), first.rest, second.rest);
    sums.template store<Halves, Panels>();
    if (blocks.end * kTileLines < n_lines) return;
    sums.finish(b, 0, rows.begin, rows.n_first(), output);
    if constexpr (Panels == 2) sums.finish(b, 1, rows.begin, rows.n_first(), output + kLanes);
    if constexpr (Halves == 2) sums.finish(b, 2, rows.begin + kTileRows, rows.n_second(), output);
    if constexpr (Halves == 2 && Panels == 2) sums.finish(b, 3, rows.begin + kTileRows, rows.n_second(), output + kLanes);
  }

  template <int Panels>
  static void bf16_panels(const MatmulBlock& b, std::size_t panel, std::size_t& configured) noexcept {
    const Bf16Panel first(b, panel);
    const Bf16Panel second(b, panel + Panels - 1);
    const RowTiles tiles{b.n_rows, kRowsTogether};
    const std::size_t n_blocks = ceil_div(b.n_in, kBf16Step * kTileLines);
    Sums sums[kTilesTogether];
    for (std::size_t begin = 0; begin < tiles.count(); begin += kTilesTogether) {
      const std::size_t end = least(begin + kTilesTogether, tiles.count());
      for (std::size_t block = 0; block < n_blocks; block += kRunBlocks) {
        const Blocks run{block, least(block + kRunBlocks, n_blocks)};
        for (std::size_t tile = begin; tile < end; ++tile) {
          const Rows rows(b, tiles, tile);
          if (rows.n != configured) rows.configure();
          configured = rows.n;
          if (rows.n_second() != 0) {
            bf16_tiles<2, Panels>(b, rows, run, panel * kLanes, first, second, sums[tile - begin]);
          } else {
            bf16_tiles<1, Panels>(b, rows, run, panel * kLanes, first, second, sums[tile - begin]);
          }
        }
      }
    }
  }

  static void bf16(const MatmulBlock& b) noexcept {
    const std::size_t n_panels = ceil_div(b.n_out, kLanes);
    std::size_t configured = 0;
    std::size_t panel = 0;
    for (; panel + 2 <= n_panels; panel += 2) bf16_panels<2>(b, panel, configured);
    if (panel < n_panels) bf16_panels<1>(b, panel, configured);
    Unit::release();
  }

  // Some groups of a panel's int8, as signed bytes for all rows.
  struct Int8Run {
    static constexpr std::size_t kMaxGroups = 16;
    static constexpr std::size_t kGroupBytes = (1 + kTileLines) * kLineBytes;

    const std::byte* stored;
    std::size_t begin;  // groups
    std::size_t end;
    alignas(kLineBytes) std::uint32_t numbers[kMaxGroups][kTileLines][kLanes];

    void unpack(const MatmulBlock& b, std::size_t panel, std::size_t first_group) noexcept {
      begin = first_group;
      end = least(first_group + kMaxGroups, b.n_groups);
      stored = b.w.first + panel * b.w.panel_stride + begin * kGroupBytes;
      for (std::size_t g = begin; g < end; ++g) {
        const auto* const units = reinterpret_cast<const std::uint32_t*>(scales(g) + kLineBytes);
        std::uint32_t* const out = numbers[g - begin][0];
        for (std::size_t i = 0; i < kTileLines * kLanes; ++i) out[i] = units[i] ^ 0x80808080U;
      }
    }

    const std::byte* scales(std::size_t group) const noexcept { return stored + (group - begin) * kGroupBytes; }
  };

  // Rows of a tile; N: how many, where that is known. Sums stay in y between runs.
  template <std::size_t N>
  static void int8_tile(const MatmulBlock& b, const Rows& rows, std::size_t output, const Int8Run& run) noexcept {
    const std::size_t n_rows = N != 0 ? N : rows.n_first();
    const std::size_t n = least(b.n_out - output, kLanes);
    float* const y = b.y + rows.begin * b.y_stride + output;
    Sum sums[kTileRows];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < n_rows; ++r) sums[r] = run.begin == 0 ? Lanes::zero() : Lanes::load(y + r * b.y_stride, n);
    for (std::size_t g = run.begin; g < run.end; ++g) {
      alignas(kLineBytes) std::int32_t counts[kTileRows][kLanes];
      Unit::template zero<0>();
      Unit::template load<4>(rows.units(g), kLineBytes);
      Unit::template load<6>(run.numbers[g - run.begin], kLineBytes);
      Unit::template dot_int8<0, 4, 6>();
      Unit::template store<0>(counts, kLineBytes);
      const std::byte* const scales = run.scales(g);
#pragma GCC unroll 16
      for (std::size_t r = 0; r < n_rows; ++r) {
        sums[r] = Int8::add(sums[r], Lanes::counts(counts[r]), b, g * b.x_rows + rows.begin + r, scales);
      }
    }
    const bool finished = run.end == b.n_groups && b.bias != nullptr;
    const Sum bias = finished ? Lanes::load(b.bias + output, n) : Lanes::zero();
#pragma GCC unroll 16
    for (std::size_t r = 0; r < n_rows; ++r) {
      Lanes::store(finished ? Lanes::add(sums[r], bias) : sums[r], y + r * b.y_stride, n);
    }
  }

  static void int8(const MatmulBlock& b) noexcept {
    const RowTiles tiles{b.n_rows, kTileRows};
    std::size_t configured = 0;
    Int8Run run;
    for (std::size_t output = 0; output < b.n_out; output += kLanes) {
      for (std::size_t group = 0; group < b.n_groups; group += Int8Run::kMaxGroups) {
        run.unpack(b, output / kLanes, group);
        for (std::size_t tile = 0; tile < tiles.count(); ++tile) {
          const Rows rows(b, tiles, tile);
          if (rows.n != configured) rows.configure();
          configured = rows.n;
          if (rows.n == kTileRows) {
            int8_tile<kTileRows>(b, rows, output, run);
          } else {
            int8_tile<0>(b, rows, output, run);
          }
        }
      }
    }
    Unit::release();
  }

  static constexpr TileKernels kernels() noexcept {
    return {.bf16 = {.run = bf16,
                     .tile_rows = kRowsTogether,
                     .tile_panels = kPanelsTogether,
                     .units = RowUnits::bf16_pairs,
                     .layout = RowLayout::blocks},
            .int8_of_many = {.run = int8,
                             .tile_rows = kTileRows,
                             .tile_panels = kPanelsTogether,
                             .units = RowUnits::int8,
                             .layout = RowLayout::blocks}};
  }
};

}  // namespace ffmem::kernels
