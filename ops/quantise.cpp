#include "ops/quantise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace ffmem {
namespace {

// Comparisons and rounding on the bits, as whole numbers: the compiler vectorises these loops, but neither std::max of floats
// nor std::nearbyint.
constexpr std::int32_t kInfinityBits = 0x7f800000;

std::int32_t magnitude_bits(float x) noexcept { return std::bit_cast<std::int32_t>(x) & 0x7fffffff; }

// In the order of the numbers.
std::int32_t ordered_bits(float x) noexcept {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float from_ordered_bits(std::int32_t bits) noexcept { return std::bit_cast<float>(bits ^ ((bits >> 31) & 0x7fffffff)); }

// x to the nearest whole number, ties to even, |x| < 2^21: the sum's lowest bit is worth 1.
std::int32_t nearest(float x) noexcept {
  constexpr float kShift = 0x1.8p23F;
  return std::bit_cast<std::int32_t>(x + kShift) - std::bit_cast<std::int32_t>(kShift);
}

std::uint16_t round_bf16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40U;
  return static_cast<std::uint16_t>(magnitude_bits(x) > kInfinityBits ? nan : rounded);
}

// The nearest bf16 that is not greater (direction -1) or not smaller (+1).
std::uint16_t bf16_towards(float x, int direction) noexcept {
  const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);  // towards zero
  const float truncated = f32_from_bf16(upper);
  const bool past = direction > 0 ? truncated < x : truncated > x;
  return static_cast<std::uint16_t>(upper + (past ? 1 : 0));
}

}  // namespace

std::uint16_t bf16_from_f32(float x) noexcept { return round_bf16(x); }

void round_to_bf16(const float* x, std::size_t n, std::uint16_t* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = round_bf16(x[i]);
}

float quantise_int8(const float* x, std::size_t n, std::int8_t* q) noexcept {
  std::int32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, magnitude_bits(x[i]));
  const bool finite = most < kInfinityBits;
  const auto largest = std::bit_cast<float>(most);
  if (!finite || largest < kSmallestGroup) {
    std::fill_n(q, n, static_cast<std::int8_t>(0));
    return finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0F / largest;
  for (std::size_t i = 0; i < n; ++i) q[i] = static_cast<std::int8_t>(nearest(x[i] * inverse));
  return largest / 127.0F;
}

Int4Scale quantise_int4(const float* x, std::size_t n, std::uint8_t* q) noexcept {
  std::fill_n(q, n, static_cast<std::uint8_t>(0));
  std::int32_t most = 0;
  std::int32_t lowest = std::numeric_limits<std::int32_t>::max();
  std::int32_t highest = std::numeric_limits<std::int32_t>::min();
  for (std::size_t i = 0; i < n; ++i) {
    most = std::max(most, magnitude_bits(x[i]));
    lowest = std::min(lowest, ordered_bits(x[i]));
    highest = std::max(highest, ordered_bits(x[i]));
  }
  if (most >= kInfinityBits) return {0x7fc0, 0x7fc0};
  const float low = from_ordered_bits(lowest);
  const float high = from_ordered_bits(highest);
  // Rounded outwards, so that the steps reach from the smallest weight to the largest.
  const Int4Scale stored{bf16_towards((high - f32_from_bf16(bf16_towards(low, -1))) / 15.0F, 1), bf16_towards(low, -1)};
  const float scale = f32_from_bf16(stored.scale);
  const float minimum = f32_from_bf16(stored.minimum);
  if (!std::isfinite(scale) || !std::isfinite(minimum)) return {0x7fc0, 0x7fc0};
  if (scale < kSmallestGroup) return {0, stored.minimum};
  for (std::size_t i = 0; i < n; ++i) {
    q[i] = static_cast<std::uint8_t>(std::clamp(nearest((x[i] - minimum) / scale), 0, 15));
  }
  return stored;
}

}  // namespace ffmem
