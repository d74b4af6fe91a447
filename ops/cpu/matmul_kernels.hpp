// Kernels for matrix products, as plain function pointers: see ops/cpu/kernel_table.hpp for the rules of this border.
//
// Weights are packed once, in the order in which both few rows and many read them: panels of kLanes outputs, each a run of
// lines of 64 bytes, 4 bytes for each output. What the 4 bytes hold is a step of inputs:
//
//   f32   an input, or where all weights are bf16 numbers, 2 inputs of 16 bits
//   bf16  2 inputs of 16 bits
//   int8  4 inputs as q + 128, 8 bits each; a line of float32 scales before each group of 64 inputs
//   int4  8 inputs in 4 bytes, the lower four bits inputs 0 - 3, the upper ones 4 - 7; before each group of 32 inputs a line of
//         scales (upper half) and minima (lower half) in bf16
//
// A last step, and of int8 and int4 a last group, is filled up with weights that the inputs' zeros meet, a last panel with
// outputs that nobody reads.
//
// Weights for sparse inputs lie input by input instead: all outputs of an input in lines of 16 float32, or of 32 bf16 whose 4
// bytes hold outputs i and 16 + i. What belongs to inputs that are zero need not be read then.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/rounding.hpp"
#include "ops/weight_format.hpp"

namespace ffmem {

/// Outputs of a panel.
inline constexpr std::size_t kLanes = 16;
inline constexpr std::size_t kLineBytes = 64;

/// Panels that a kernel takes together at most.
inline constexpr std::size_t kPanelsTogether = 4;

/// Inputs of one step.
inline constexpr std::size_t kF32Step = 1;
inline constexpr std::size_t kBf16Step = 2;
inline constexpr std::size_t kInt8Step = 4;
inline constexpr std::size_t kInt4Step = 8;

/// How a kernel takes n_rows >= 1 rows: in tiles of `most`, the last two of about the same size, because few rows alone would
/// leave the multipliers waiting.
struct RowTiles {
  std::size_t n_rows;
  std::size_t most;

  [[gnu::always_inline]] constexpr std::size_t count() const noexcept { return ceil_div(n_rows, most); }
  /// The first row of tile `tile`; of tile count(): n_rows.
  [[gnu::always_inline]] constexpr std::size_t begin(std::size_t tile) const noexcept {
    if (tile == 0) return 0;
    if (tile == count()) return n_rows;
    return tile + 1 < count() ? tile * most : n_rows - (n_rows - (tile - 1) * most) / 2;
  }
};

/// Where the lines of weights lie.
struct WeightLines {
  const std::byte* first;
  std::size_t panel_stride;  // bytes from the lines of a panel to those of the next
  std::size_t line_stride;   // bytes from a panel's line to its next
};

/// y[t, o] = x[t] . w[o] + bias[o] for n_rows >= 1 rows and n_out outputs that begin with a panel.
struct MatmulBlock {
  // Units of 4 bytes, as RowUnits says; zeros in place of inputs that a last step or group lacks. Those of row t, or of the
  // tile that begins with it, lie at t * x_units, as RowLayout says.
  const std::uint32_t* x;
  std::size_t x_units;
  // Of each group of a row, [n_groups][x_rows], of which n_rows are meant; null where not named.
  const float* x_scales;         // int8, int4: the scale
  const std::int32_t* x_starts;  // int8, where a count starts: -128 * the numbers' sum (weights are stored as q + 128), or for
                                 // RowUnits::int8_magnitudes the sum of the negative numbers' magnitudes
  const float* x_sums;           // int4: scale * the numbers' sum
  std::size_t x_rows;
  std::size_t n_groups;
  WeightLines w;
  const float* bias;  // [n_out] or null
  float* y;
  std::size_t y_stride;
  std::size_t n_rows;
  std::size_t n_in;
  std::size_t n_out;
};

/// Where a row's groups begin in what MatmulBlock says of them, and the distance from one to the next. starts or sums is null.
struct RowGroups {
  float* scales;
  std::int32_t* starts;
  float* sums;
  std::size_t stride;
};

/// Rows that the kernels for sparse inputs take together.
inline constexpr std::size_t kMaxSparseRows = 6;

/// y[t, o] = sum_i x[t, i] w[i, o] + bias[o] over the active inputs i, by weights that lie input by input.
struct SparseBlock {
  const float* x;
  std::size_t x_stride;
  std::size_t n_rows;           // 1 .. kMaxSparseRows
  const std::uint32_t* active;  // [n_active], ascending: inputs that some row has
  std::size_t n_active;
  const std::byte* w;     // the first output of input 0, which begins a line
  std::size_t row_bytes;  // from an input to the next
  const float* bias;      // [n_out] or null
  float* y;
  std::size_t y_stride;
  std::size_t n_out;
};

/// What a kernel takes for a unit of x: a float32 as it is or rounded to bf16, two bf16, four int8. Of int8_magnitudes two
/// units stand for four int8: their magnitudes, then a byte each that is 0x80, which turns a weight's q + 128 into q, and for
/// the negative ones 0x7f, which turns it into -q - 1.
enum class RowUnits { floats, rounded_floats, bf16_pairs, int8, int8_magnitudes };

/// How units lie: row by row, or for each tile of rows the first 16 of each row in turn, then the next 16, ...
enum class RowLayout { rows, blocks };

inline constexpr std::size_t kBlockUnits = 16;

/// The product by weights of one format, how many rows its tiles have, and their units.
struct MatmulKernel {
  void (*run)(const MatmulBlock& block);
  std::size_t tile_rows;
  std::size_t tile_panels;  // blocks of many rows begin at multiples of so many
  RowUnits units;
  RowLayout layout = RowLayout::rows;

  friend bool operator==(const MatmulKernel&, const MatmulKernel&) = default;
};

/// Rows of a tile whose sums are in registers.
inline constexpr std::size_t kMaxTileRows = 9;

/// Rows rounded to less than float32 are filled up with zeros to whole steps of so many inputs.
inline constexpr std::size_t kRoundedStep = 64;
static_assert(kRoundedStep % kInt8Group == 0 && kRoundedStep % kInt4Group == 0);

/// The products that a tile unit does.
struct TileKernels {
  MatmulKernel bf16;
  MatmulKernel int8_of_many;
};

/// From so many rows on a tile unit is faster than vectors.
inline constexpr std::size_t kManyRows = 16;

struct MatmulKernels {
  MatmulKernel f32;
  MatmulKernel f32_by_bf16;  // f32 by weights held as bf16
  MatmulKernel bf16;
  MatmulKernel int8;
  MatmulKernel int8_of_many;  // the same, bit by bit, for kManyRows and more
  MatmulKernel int4;
  // f32 by weights that lie input by input, in float32 or held as bf16.
  MatmulKernel f32_by_rows;
  MatmulKernel f32_by_bf16_rows;
  void (*sparse)(const SparseBlock& block);
  void (*sparse_by_bf16)(const SparseBlock& block);

  // One row in units, filled up with zeros to a whole kRoundedStep, for which `out` has room.
  void (*round_floats)(const float* x, std::size_t n, float* out);
  void (*round_bf16)(const float* x, std::size_t n, std::uint16_t* out);
  void (*quantise)(const float* x, std::size_t n, std::size_t group, std::int8_t* out, const RowGroups& groups);
  void (*quantise_magnitudes)(const float* x, std::size_t n, std::uint32_t* out, const RowGroups& groups);  // int8
};

}  // namespace ffmem
