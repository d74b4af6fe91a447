// 16 outputs with AVX-512's dot products: AVX512-BF16 and AVX512-VNNI. Only for objects compiled with both.
//
// vdpbf16ps adds the products of a pair one after the other and takes numbers too small for a normal float32 for zero.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace ffmem::kernels {

struct Avx512Lanes {
  using Sum = __m512;
  using Count = __m512i;
  using Int4Count = Count;
  using Weights = __m512i;
  static constexpr std::size_t kF32Vectors = 3;
  static constexpr std::size_t kIntVectors = 4;
  static constexpr std::size_t kLoneVectors = 4;
  static constexpr std::size_t kF32Rows = 9;   // 27 sums
  static constexpr std::size_t kBf16Rows = 8;  // 24 sums, 3 lines, 3 of them widened
  static constexpr std::size_t kIntRows = 6;   // 24 counts; the sums wait in memory for whole groups
  static constexpr std::size_t kInt4Rows = kIntRows;
  static constexpr bool kMultipliesBf16 = true;
  static constexpr std::size_t kIntSteps = 16;  // in a loop for each the compiler copies the counts from register to register
  static constexpr std::size_t kInt8Units = 1;

  static __mmask16 first(std::size_t n) noexcept { return static_cast<__mmask16>((1U << n) - 1U); }

  static Sum zero() noexcept { return _mm512_setzero_ps(); }
  static Sum load(const float* p, std::size_t n) noexcept { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(Sum sum, float* p, std::size_t n) noexcept { _mm512_mask_storeu_ps(p, first(n), sum); }
  static Sum add(Sum a, Sum b) noexcept { return _mm512_add_ps(a, b); }

  static Weights weights(const std::byte* p) noexcept { return _mm512_load_si512(p); }
  static Sum as_floats(Weights w) noexcept { return _mm512_castsi512_ps(w); }
  static Sum upper_bf16(Weights w) noexcept {
    return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
  }
  static Sum lower_bf16(Weights w) noexcept { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
  static Weights low_fours(Weights w) noexcept { return _mm512_and_si512(w, _mm512_set1_epi8(0x0f)); }
  static Weights high_fours(Weights w) noexcept { return low_fours(_mm512_srli_epi16(w, 4)); }

  static Sum dot_bf16(Sum sum, std::uint32_t x, Weights w) noexcept {
    return _mm512_dpbf16_ps(sum, __builtin_bit_cast(__m512bh, w), __builtin_bit_cast(__m512bh, broadcast(x)));
  }

  static Count count(std::int32_t n) noexcept { return _mm512_set1_epi32(n); }
  static Count counts(const std::int32_t* p) noexcept { return _mm512_load_si512(p); }
  static Count dot_int8(Count count, Weights w, const std::uint32_t* x) noexcept {
    return _mm512_dpbusd_epi32(count, w, broadcast(*x));
  }
  static Int4Count int4_start() noexcept { return count(0); }
  static Count dot_int4(Count count, Weights fours, std::uint32_t x) noexcept { return dot_int8(count, fours, &x); }

  /// sum + (count * factor) * scales.
  static Sum add_scaled(Sum sum, Count count, float factor, Sum scales) noexcept {
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(count), _mm512_set1_ps(factor)), scales, sum);
  }
  static Sum add_product(Sum sum, float factor, Sum x) noexcept { return _mm512_fmadd_ps(_mm512_set1_ps(factor), x, sum); }

 private:
  static __m512i broadcast(std::uint32_t x) noexcept { return _mm512_set1_epi32(static_cast<int>(x)); }
};

}  // namespace ffmem::kernels
