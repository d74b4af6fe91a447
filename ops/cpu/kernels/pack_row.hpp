// Activations as the tiles of matmul_tiles.hpp read them; the same numbers as ops/quantise.hpp gives. Plain loops and vectors
// of the compiler's own, which suit the instruction set of the object; a template, so that it stays in that object.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cpu/matmul_kernels.hpp"
#include "ops/quantise.hpp"

namespace ffmem::kernels {

template <class Arch>
struct PackRow {
  using Eight = std::uint32_t __attribute__((vector_size(32), aligned(4), may_alias));

  static void round_bf16(const float* x, std::size_t n, std::uint16_t* out) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint16_t>(nearest_bf16(x[i]));
    for (; n % kRoundedStep != 0; ++n) out[n] = 0;
  }

  static void round_floats(const float* x, std::size_t n, float* out) noexcept {
    for (std::size_t i = 0; i < n; ++i) out[i] = __builtin_bit_cast(float, nearest_bf16(x[i]) << 16);
    for (; n % kRoundedStep != 0; ++n) out[n] = 0.0F;
  }

  static void quantise(const float* x, std::size_t n, std::size_t group, std::int8_t* out, float* scales,
                       std::int32_t* sums) noexcept {
    for (std::size_t begin = 0; begin < n; begin += group) {
      const std::size_t size = n - begin < group ? n - begin : group;
      *scales++ = quantise_group(x + begin, size, out + begin, sums++);
    }
    for (; n % kRoundedStep != 0; ++n) out[n] = 0;
  }

  static void interleave(const std::uint32_t* rows, std::size_t stride, std::size_t n_rows, std::size_t n_units,
                         std::uint32_t* out) noexcept {
    switch (n_rows) {
      case 1:
        return interleave_rows<1>(rows, stride, n_units, out);
      case 2:
        return interleave_rows<2>(rows, stride, n_units, out);
      case 3:
        return interleave_rows<3>(rows, stride, n_units, out);
      case 4:
        return interleave_rows<4>(rows, stride, n_units, out);
      case 5:
        return interleave_rows<5>(rows, stride, n_units, out);
      default:
        return interleave_rows<6>(rows, stride, n_units, out);
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

  // Of more than two rows, eight units of eight, those that do not exist being zeros. What a unit's store writes too much, the
  // next one overwrites.
  template <std::size_t Rows>
  static void interleave_rows(const std::uint32_t* rows, std::size_t stride, std::size_t n_units, std::uint32_t* out) noexcept {
    std::size_t u = 0;
    for (; Rows > 2 && u + 16 <= n_units; u += 8) {
      Eight square[8] = {};
#pragma GCC unroll 8
      for (std::size_t r = 0; r < Rows; ++r) square[r] = *reinterpret_cast<const Eight*>(rows + r * stride + u);
      transpose(square);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < 8; ++i) *reinterpret_cast<Eight*>(out + (u + i) * Rows) = square[i];
    }
    for (; u < n_units; ++u) {
      for (std::size_t r = 0; r < Rows; ++r) out[u * Rows + r] = rows[r * stride + u];
    }
  }

  // Lanes 0 1 | 4 5 of two vectors in turn, or 2 3 | 6 7; then pairs of lanes; then halves.
  [[gnu::always_inline]] static void transpose(Eight (&v)[8]) noexcept {
    Eight a[8];
    Eight b[8];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 8; i += 2) {
      a[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
      a[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 8; i += i % 4 == 0 ? 1 : 3) {
      b[i / 4 * 4 + i % 4 * 2] = __builtin_shufflevector(a[i], a[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[i / 4 * 4 + i % 4 * 2 + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      v[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
      v[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
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
