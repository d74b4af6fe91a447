// 16 outputs with AVX2's products of bytes, whose pairs are added in 16 bits: 2 * 127 * 127 still fits. Floats are
// PlainLanes' own.
#pragma once

#include <immintrin.h>

#include "ops/cpu/kernels/lanes.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Avx2Lanes : PlainLanes<Arch> {
  using Base = PlainLanes<Arch>;
  using Base::kParts;
  using typename Base::I;
  using typename Base::Sum;
  using typename Base::V;
  using typename Base::Weights;
  struct Count {
    I part[kParts];
  };
  static constexpr std::size_t kIntRows = 4;  // 8 counts

  static Count count(std::int32_t n) noexcept {
    return Base::template each<Count>([n](std::size_t) { return I(n); });
  }

  // The stored weights q + 128 are turned back into q, so that their products are those of |q| and of x with q's sign.
  static Count int8_start(std::int32_t /*x_sum*/) noexcept { return count(0); }
  static Count dot_int8(const Count& count, const Weights& w, std::uint32_t x) noexcept {
    const __m256i fours = broadcast(x);
    return Base::template each<Count>([&](std::size_t i) {
      const __m256i q = _mm256_xor_si256(w.part[i].data, _mm256_set1_epi8(-128));
      return add_pairs(count.part[i], _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(fours, q)));
    });
  }

  static Count dot_int4(const Count& count, const Weights& fours, std::uint32_t x) noexcept {
    return Base::template each<Count>(
        [&](std::size_t i) { return add_pairs(count.part[i], _mm256_maddubs_epi16(fours.part[i].data, broadcast(x))); });
  }

  static Sum add_scaled(const Sum& sum, const Count& count, float factor, const Sum& scales) noexcept {
    return Base::template each<Sum>([&](std::size_t i) {
      return fma<Arch>(V(_mm256_cvtepi32_ps(count.part[i].data)) * V(factor), scales.part[i], sum.part[i]);
    });
  }

 private:
  static __m256i broadcast(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
  static I add_pairs(const I& count, __m256i pairs) noexcept {
    // An addition in place and in its turn: the compiler would copy every sum, and begin more products at once than there are
    // registers for.
    __m256i sum = count.data;
    asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
    return I(sum);
  }
};

}  // namespace ffmem::kernels
