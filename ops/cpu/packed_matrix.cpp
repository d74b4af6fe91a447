#include "ops/cpu/packed_matrix.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "ops/cpu/parallel.hpp"
#include "ops/huge_pages.hpp"
#include "ops/quantise.hpp"

namespace ffmem {
namespace {

// Weights are read in tiles of so many inputs, whole groups of either size, and the outputs of a few panels, which make long
// lines where each input's weights are contiguous.
constexpr std::size_t kTileInputs = 256;
constexpr std::size_t kTileOutputs = kPanelsTogether * kLanes;
constexpr std::size_t kLinesAhead = 16;
constexpr std::size_t kCacheLine = 64;
static_assert(kTileInputs % kInt8Group == 0 && kTileInputs % kInt4Group == 0);

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::size_t step_size(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return kF32Step;
    case WeightFormat::bf16:
      return kBf16Step;
    case WeightFormat::int8:
      return kInt8Step;
    default:
      return kInt4Step;
  }
}

bool has_groups(WeightFormat format) { return format == WeightFormat::int8 || format == WeightFormat::int4; }

WeightMatrix slice(const WeightMatrix& w, std::size_t row, std::size_t rows, std::size_t col, std::size_t cols) {
  return w.row_slice(row, rows).transposed().row_slice(col, cols).transposed();
}

// A tile's weights as float32, a row for each output, and as the 4 bytes that the packed lines hold for an output.
struct Tile {
  float rows[kTileOutputs][kTileInputs];
  std::uint32_t units[kTileOutputs][kTileInputs];

  void read(const WeightMatrix& w) {
    if (w.col_stride == 1) {
      for (std::size_t o = 0; o < w.rows; ++o) read_row(w, o, rows[o]);
      return;
    }
    float line[kTileOutputs];
    const std::size_t step = w.col_stride * element_bytes(w.dtype);
    for (std::size_t i = 0; i < w.cols; ++i) {
      // Lines lie too far apart for the hardware to see the next one coming.
      const auto* ahead = static_cast<const std::byte*>(w.data) + (i + kLinesAhead) * step;
      for (std::size_t b = 0; b < w.rows * element_bytes(w.dtype); b += kCacheLine) __builtin_prefetch(ahead + b);
      read_row(w.transposed(), i, line);
      for (std::size_t o = 0; o < w.rows; ++o) rows[o][i] = line[o];
    }
  }
};

// Each encodes n inputs of one output and returns the number of units.
std::size_t encode_f32(const float* w, std::size_t n, std::uint32_t* units) {
  std::memcpy(units, w, n * sizeof *w);
  return n;
}

std::size_t encode_bf16(const float* w, std::size_t n, std::uint32_t* units) {
  std::uint16_t rounded[kTileInputs + 1];
  round_to_bf16(w, n, rounded);
  rounded[n] = 0;
  const std::size_t n_units = ceil_div(n, kBf16Step);
  for (std::size_t i = 0; i < n_units; ++i) units[i] = rounded[2 * i] | static_cast<std::uint32_t>(rounded[2 * i + 1]) << 16;
  return n_units;
}

std::size_t encode_int8(const float* w, std::size_t n, std::uint32_t* units) {
  std::size_t n_units = 0;
  for (std::size_t begin = 0; begin < n; begin += kInt8Group) {
    const std::size_t size = std::min(kInt8Group, n - begin);
    std::int8_t q[kInt8Group] = {};
    units[n_units++] = std::bit_cast<std::uint32_t>(quantise_int8(w + begin, size, q));
    for (std::size_t i = 0; i < size; i += kInt8Step) {
      std::uint32_t four = 0;
      std::memcpy(&four, q + i, sizeof four);
      units[n_units++] = four ^ 0x80808080U;  // q + 128
    }
  }
  return n_units;
}

std::size_t encode_int4(const float* w, std::size_t n, std::uint32_t* units) {
  std::size_t n_units = 0;
  for (std::size_t begin = 0; begin < n; begin += kInt4Group) {
    const std::size_t size = std::min(kInt4Group, n - begin);
    std::uint8_t q[kInt4Group] = {};
    const Int4Scale group = quantise_int4(w + begin, size, q);
    units[n_units++] = static_cast<std::uint32_t>(group.scale) << 16 | group.minimum;
    for (std::size_t i = 0; i < size; i += kInt4Step) {
      std::uint32_t low = 0;
      std::uint32_t high = 0;
      std::memcpy(&low, q + i, sizeof low);
      std::memcpy(&high, q + i + 4, sizeof high);
      units[n_units++] = low | high << 4;
    }
  }
  return n_units;
}

auto encoder(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return encode_f32;
    case WeightFormat::bf16:
      return encode_bf16;
    case WeightFormat::int8:
      return encode_int8;
    default:
      return encode_int4;
  }
}

}  // namespace

PackedMatrix::PackedMatrix(const WeightMatrix& w, WeightFormat format, Inputs inputs)
    : format_(format), rows_(w.rows), cols_(w.cols), inputs_(inputs), buffer_(n_panels() * panel_bytes() / sizeof(float)) {
  use_huge_pages(buffer_);
  parallel_for(ceil_div(rows_, kTileOutputs), kTileOutputs * cols_ * 10, [&](std::size_t tile) {
    for (std::size_t input = 0; input < cols_; input += kTileInputs) pack_tile(w, tile * kTileOutputs, input);
  });
}

std::size_t PackedMatrix::n_groups() const noexcept { return has_groups(format_) ? ceil_div(cols_, group_size(format_)) : 0; }

std::size_t PackedMatrix::n_lines() const noexcept { return ceil_div(cols_, step_size(format_)) + n_groups(); }

OutputRange PackedMatrix::outputs(std::size_t part, std::size_t parts) const noexcept {
  const auto first_panel = [&](std::size_t p) { return most_parts() * p / parts * kPanelsTogether; };
  const auto* const panels = reinterpret_cast<const std::byte*>(buffer_.data());
  return {.begin = first_panel(part) * kLanes,
          .end = std::min(first_panel(part + 1) * kLanes, rows_),
          .panels = panels + first_panel(part) * panel_bytes()};
}

void PackedMatrix::pack_tile(const WeightMatrix& w, std::size_t output, std::size_t input) const {
  const std::size_t n_out = std::min(kTileOutputs, rows_ - output);
  const std::size_t n_in = std::min(kTileInputs, cols_ - input);
  const auto encode = encoder(format_);
  Tile tile;
  tile.read(slice(w, output, n_out, input, n_in));
  std::size_t n_units = 0;
  for (std::size_t o = 0; o < n_out; ++o) n_units = encode(tile.rows[o], n_in, tile.units[o]);

  const std::size_t group_lines = has_groups(format_) ? input / group_size(format_) : 0;
  const std::size_t first_line = input / step_size(format_) + group_lines;
  for (std::size_t begin = 0; begin < n_out; begin += kLanes) {
    const std::size_t n = std::min(kLanes, n_out - begin);
    auto* const panel = reinterpret_cast<std::uint32_t*>(buffer_.data()) + (output + begin) * n_lines();
    for (std::size_t line = 0; line < n_units; ++line) {
      std::uint32_t* const to = panel + (first_line + line) * kLanes;
      for (std::size_t o = 0; o < n; ++o) to[o] = tile.units[begin + o][line];
    }
  }
}

bool PackedMatrix::may_skip_zeros() const {
  if (inputs_ != Inputs::sparse || format_ != WeightFormat::f32) return false;
  std::call_once(looked_at_, [this] {
    constexpr std::uint32_t kExponent = 0x7f800000U;
    bool finite = true;
    for (const float value : std::span(buffer_.data(), buffer_.size())) {
      finite = finite & ((std::bit_cast<std::uint32_t>(value) & kExponent) != kExponent);
    }
    finite_ = finite;
  });
  return finite_;
}

}  // namespace ffmem
