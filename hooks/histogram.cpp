#include "hooks/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "hooks/checked_size.hpp"
#include "ops/error.hpp"
#include "ops/parallel.hpp"

namespace ffmem {
namespace {

/// Of a number: NaN has none.
std::size_t bin_of(float coefficient) noexcept {
  if (coefficient == 0.0F) return Histogram::kZeroBin;
  // The biased exponent of a float32: 127 for [1, 2).
  const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(std::abs(coefficient)) >> 23U) - 127;
  const auto size = static_cast<std::size_t>(std::clamp(exponent + 8, 1, static_cast<int>(Histogram::kZeroBin)));
  return coefficient < 0.0F ? Histogram::kZeroBin - size : Histogram::kZeroBin + size;
}

}  // namespace

Histogram::Histogram(std::size_t n_layers, std::size_t d_memory)
    : n_layers_(n_layers), d_memory_(d_memory), counts_(checked_size("a histogram", {n_layers, d_memory, kBins})) {}

Hook::Access Histogram::access(Point point, std::size_t) const {
  return point == Point::coefficients ? Access::read : Access::none;
}

void Histogram::read(const PointView& view) {
  if (view.layer >= n_layers_ || view.values.cols != d_memory_) {
    fail(ErrorCode::argument_invalid, "a histogram of ", n_layers_, " layers of ", d_memory_, " memories: found layer ",
         view.layer, " with ", view.values.cols);
  }
  std::uint32_t* const layer_counts = counts_.data() + view.layer * d_memory_ * kBins;
  parallel_for(d_memory_, view.values.rows, [&](std::size_t unit) {
    std::uint32_t* const unit_counts = layer_counts + unit * kBins;
    for (std::size_t row = 0; row < view.values.rows; ++row) {
      if (skip_first_ && view.origins[row].position == 0) continue;
      const float coefficient = view.values.row_data(row)[unit];
      if (!std::isnan(coefficient)) ++unit_counts[bin_of(coefficient)];
    }
  });
}

}  // namespace ffmem
