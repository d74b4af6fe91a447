#include "ops/quantise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ffmem {
namespace {

// The nearest bf16 that is not greater (direction -1) or not smaller (+1).
std::uint16_t bf16_towards(float x, int direction) noexcept {
  const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);  // towards zero
  const float truncated = f32_from_bf16(upper);
  const bool past = direction > 0 ? truncated < x : truncated > x;
  return static_cast<std::uint16_t>(upper + (past ? 1 : 0));
}

}  // namespace

std::uint16_t bf16_from_f32(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (std::isnan(x)) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

float quantise_int8(const float* x, std::size_t n, std::int8_t* q) noexcept {
  float largest = 0;
  bool finite = true;
  for (std::size_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::fabs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  if (!finite || largest < kSmallestGroup) {
    std::fill_n(q, n, static_cast<std::int8_t>(0));
    return finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0F / largest;
  for (std::size_t i = 0; i < n; ++i) q[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
  return largest / 127.0F;
}

Int4Scale quantise_int4(const float* x, std::size_t n, std::uint8_t* q) noexcept {
  std::fill_n(q, n, static_cast<std::uint8_t>(0));
  if (!std::all_of(x, x + n, [](float value) { return std::isfinite(value); })) return {0x7fc0, 0x7fc0};
  const auto [low, high] = std::minmax_element(x, x + n);
  // Rounded outwards, so that the steps reach from the smallest weight to the largest.
  const Int4Scale stored{bf16_towards((*high - f32_from_bf16(bf16_towards(*low, -1))) / 15.0F, 1), bf16_towards(*low, -1)};
  const float scale = f32_from_bf16(stored.scale);
  const float minimum = f32_from_bf16(stored.minimum);
  if (!std::isfinite(scale) || !std::isfinite(minimum)) return {0x7fc0, 0x7fc0};
  if (scale < kSmallestGroup) return {0, stored.minimum};
  for (std::size_t i = 0; i < n; ++i) {
    q[i] = static_cast<std::uint8_t>(std::clamp(std::nearbyint((x[i] - minimum) / scale), 0.0F, 15.0F));
  }
  return stored;
}

}  // namespace ffmem
