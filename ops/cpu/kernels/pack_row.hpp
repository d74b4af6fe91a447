// Activations as the tiles of matmul_tiles.hpp read them; the same numbers as ops/quantise.hpp gives. Plain loops,
// which the compiler makes suit the instruction set of the object; a template, so that it stays in that object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ops/cpu/matmul_kernels.hpp"
#include "ops/quantise.hpp"
#include "ops/rounding.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::kernels {

template <class Lanes>
struct PackRow {
  static void round_bf16(const float* x, std::size_t n, std::uint16_t* out) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint16_t>(nearest_bf16(x[i]));
    for (; n % kRoundedStep != 0; ++n) out[n] = 0;
  }

  static void round_floats(const float* x, std::size_t n, float* out) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = __builtin_bit_cast(float, nearest_bf16(x[i]) << 16);
    for (; n % kRoundedStep != 0; ++n) out[n] = 0.0F;
  }

  static void quantise(const float* x, std::size_t n, std::size_t group, std::int8_t* out, const RowGroups& groups) noexcept {
    std::size_t place = 0;
    for (std::size_t begin = 0; begin < n; begin += group, place += groups.stride) {
      const std::size_t size = least(n - begin, group);
      std::int32_t sum = 0;
      const float scale = quantise_group(x + begin, size, out + begin, &sum);
      groups.scales[place] = scale;
      if (groups.starts != nullptr) groups.starts[place] = -128 * sum;
      if (groups.sums != nullptr) groups.sums[place] = static_cast<float>(sum) * scale;
    }
    for (; n % kRoundedStep != 0; ++n) out[n] = 0;
  }

  static void quantise_magnitudes(const float* x, std::size_t n, std::uint32_t* out, const RowGroups& groups) noexcept {
    static_assert(kRoundedStep == kInt8Group);
    std::size_t place = 0;
    for (std::size_t begin = 0; begin < n; begin += kInt8Group, place += groups.stride) {
      std::int8_t q[kInt8Group] = {};
      std::int32_t sum = 0;
      groups.scales[place] = quantise_group(x + begin, least(n - begin, kInt8Group), q, &sum);
      std::uint8_t magnitudes[kInt8Group];
      std::uint8_t turns[kInt8Group];
      for (std::size_t i = 0; i < kInt8Group; ++i) {
        magnitudes[i] = static_cast<std::uint8_t>(q[i] < 0 ? -q[i] : q[i]);
        turns[i] = q[i] < 0 ? 0x7f : 0x80;
      }
      std::int32_t all = 0;
      for (const std::uint8_t magnitude : magnitudes) all += magnitude;
      groups.starts[place] = (all - sum) / 2;
      for (std::size_t i = 0; i < kInt8Group; i += kInt8Step, out += 2) {
        std::memcpy(out, magnitudes + i, kInt8Step);
        std::memcpy(out + 1, turns + i, kInt8Step);
      }
    }
  }

 private:
  // In the lower half.
  [[gnu::always_inline]] static std::uint32_t nearest_bf16(float x) noexcept {
    const auto bits = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
    return is_nan ? (bits >> 16) | 0x40U : rounded;
  }

  static float quantise_group(const float* x, std::size_t n, std::int8_t* out, std::int32_t* sum) noexcept {
    // As whole numbers, magnitudes are ordered as they are as floats, with infinity and NaN at the end.
    std::int32_t largest_bits = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto bits = static_cast<std::int32_t>(__builtin_bit_cast(std::uint32_t, x[i]) & 0x7fffffffU);
      largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    const auto largest = __builtin_bit_cast(float, largest_bits);
    *sum = 0;
    if (largest_bits >= 0x7f800000 || largest < kSmallestGroup) {
      for (std::size_t i = 0; i < n; ++i) out[i] = 0;
      return largest_bits >= 0x7f800000 ? __builtin_nanf("") : 0.0F;
    }
    const float inverse = 127.0F / largest;
    std::int32_t total = 0;
    for (std::size_t i = 0; i < n; ++i) {
      // Adding 1.5 * 2^23 leaves the whole number, rounded to nearest even, in the lowest bits.
      constexpr float kRound = 12582912.0F;
      const std::int32_t q =
          __builtin_bit_cast(std::int32_t, x[i] * inverse + kRound) - __builtin_bit_cast(std::int32_t, kRound);
      out[i] = static_cast<std::int8_t>(q);
      total += q;
    }
    *sum = total;
    return largest / 127.0F;
  }
};

}  // namespace ffmem::kernels
