#include "ops/cpu/packed_matrix.hpp"

#include <algorithm>
#include <cstring>

#include "ops/cpu/parallel.hpp"
#include "ops/quantise.hpp"

namespace ffmem {
namespace {

// Weights are read in tiles of so many inputs and one panel's outputs. Whole groups of either size.
constexpr std::size_t kTileInputs = 64;
static_assert(kTileInputs % kInt8Group == 0 && kTileInputs % kInt4Group == 0);

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::size_t step_size(WeightFormat format) {
  return format == WeightFormat::bf16 ? kBf16Step : format == WeightFormat::int8 ? kInt8Step : kInt4Step;
}

WeightMatrix slice(const WeightMatrix& w, std::size_t row, std::size_t rows, std::size_t col, std::size_t cols) {
  return w.row_slice(row, rows).transposed().row_slice(col, cols).transposed();
}

// Where one output's weights go: steps `stride` bytes apart, `lane` counted inside each.
struct Place {
  std::byte* first;
  std::size_t stride;
  std::size_t lane;

  template <class T>
  void put(std::size_t line, std::size_t i, T value, std::size_t per_lane) const {
    std::memcpy(first + line * stride + (lane * per_lane + i) * sizeof(T), &value, sizeof(T));
  }
};

void pack_bf16(const float* w, std::size_t n, const Place& place) {
  for (std::size_t i = 0; i < n; ++i) place.put(i / kBf16Step, i % kBf16Step, bf16_from_f32(w[i]), kBf16Step);
}

void pack_int8(const float* w, std::size_t n, const Place& place) {
  std::int8_t q[kInt8Group];
  place.put(0, 0, quantise_int8(w, n, q), 1);
  for (std::size_t i = 0; i < n; ++i) {
    place.put(1 + i / kInt8Step, i % kInt8Step, static_cast<std::uint8_t>(q[i] + 128), kInt8Step);
  }
}

void pack_int4(const float* w, std::size_t n, const Place& place) {
  std::uint8_t q[kInt4Group] = {};
  const Int4Scale group = quantise_int4(w, n, q);
  place.put(0, 0, static_cast<std::uint32_t>(group.scale) << 16 | group.minimum, 1);
  for (std::size_t i = 0; i < n; i += kInt4Step) {
    for (std::size_t j = 0; j < 4; ++j) {
      place.put(1 + i / kInt4Step, j, static_cast<std::uint8_t>(q[i + j] | q[i + j + 4] << 4), 4);
    }
  }
}

}  // namespace

PackedMatrix::PackedMatrix(const WeightMatrix& w, WeightFormat format)
    : format_(format),
      rows_(w.rows),
      cols_(w.cols),
      buffer_(ceil_div(w.rows, kLanes) * n_lines() * kVectorBytes / sizeof(float)) {
  parallel_for(n_panels(), kPanelOutputs * cols_ * 10, [&](std::size_t p) {
    for (std::size_t input = 0; input < cols_; input += kTileInputs) pack_tile(w, p * kPanelOutputs, input);
  });
}

std::size_t PackedMatrix::n_groups() const noexcept {
  return format_ == WeightFormat::bf16 ? 0 : ceil_div(cols_, group_size(format_));
}

std::size_t PackedMatrix::n_lines() const noexcept { return ceil_div(cols_, step_size(format_)) + n_groups(); }

void PackedMatrix::pack_tile(const WeightMatrix& w, std::size_t output, std::size_t input) const {
  const std::size_t n_out = std::min(kPanelOutputs, rows_ - output);
  const std::size_t n_in = std::min(kTileInputs, cols_ - input);
  const std::size_t stride = ceil_div(n_out, kLanes) * kVectorBytes;
  auto* const panel = reinterpret_cast<std::byte*>(buffer_.data()) + output / kLanes * n_lines() * kVectorBytes;
  const WeightMatrix tile = slice(w, output, n_out, input, n_in);
  const std::size_t size = format_ == WeightFormat::bf16 ? kTileInputs : group_size(format_);
  const std::size_t size_lines = size / step_size(format_) + (format_ == WeightFormat::bf16 ? 0 : 1);
  float row[kTileInputs];
  for (std::size_t o = 0; o < n_out; ++o) {
    read_row(tile, o, row);
    for (std::size_t i = 0; i < n_in; i += size) {
      const Place place{panel + (input + i) / size * size_lines * stride + o / kLanes * kVectorBytes, stride, o % kLanes};
      const std::size_t n = std::min(size, n_in - i);
      format_ == WeightFormat::bf16   ? pack_bf16(row + i, n, place)
      : format_ == WeightFormat::int8 ? pack_int8(row + i, n, place)
                                      : pack_int4(row + i, n, place);
    }
  }
}

}  // namespace ffmem
