// 16 outputs with AVX2's products of bytes, of which pairs are added in 16 bits. Floats are PlainLanes' own.
//
// int8: 2 * 127 * 128 fits, and goes on to 32 bits at once. One factor has no sign: |p|, of x's p. Where p is negative, the
// weight's q becomes -q - 1, by XOR with a byte that turns the stored q + 128 into q as well; what the -1 takes is |p|,
// whatever q is, and is added before.
//
// int4: what a group adds to one place fits. The sums go on to 32 bits once.
#pragma once

#include <immintrin.h>

#include "ops/cpu/kernels/lanes.hpp"
#include "ops/weight_format.hpp"

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
  struct Int4Count {
    I part[kParts];  // of 16 bits
  };
  static_assert(kInt4Group / 2 * 15 * 127 < 1 << 15);
  static constexpr std::size_t kIntRows = 5;   // 10 counts, 2 halves of a line, 4 for their products
  static constexpr std::size_t kInt4Rows = 6;  // 12, 2 and 2
  static constexpr std::size_t kIntSteps = 4;  // more are too much code for the cache of decoded instructions
  static constexpr std::size_t kInt8Units = 2;

  static Count count(std::int32_t n) noexcept {
    return Base::template each<Count>([n](std::size_t) { return I(n); });
  }

  // x: four magnitudes, then what the weights are XORed with. In this order, products before sums, most of them begin at once.
  static Count dot_int8(Count count, const Weights& w, const std::uint32_t* x) noexcept {
    __m256i first;
    __m256i second = broadcast(x[1]);
    asm("vpxor %[w0], %[second], %[first]\n\t"
        "vpxor %[w1], %[second], %[second]\n\t"
        "vpmaddubsw %[first], %[magnitudes], %[first]\n\t"
        "vpmaddubsw %[second], %[magnitudes], %[second]\n\t"
        "vpmaddwd %[ones], %[first], %[first]\n\t"
        "vpmaddwd %[ones], %[second], %[second]\n\t"
        "vpaddd %[first], %[count0], %[count0]\n\t"
        "vpaddd %[second], %[count1], %[count1]"
        : [count0] "+x"(count.part[0].data), [count1] "+x"(count.part[1].data), [second] "+&x"(second), [first] "=&x"(first)
        : [w0] "x"(w.part[0].data), [w1] "x"(w.part[1].data), [magnitudes] "x"(broadcast(x[0])),
          [ones] "x"(_mm256_set1_epi16(1)));
    return count;
  }

  static Int4Count int4_start() noexcept {
    return Base::template each<Int4Count>([](std::size_t) { return I(0); });
  }
  static Int4Count dot_int4(Int4Count count, const Weights& fours, std::uint32_t x) noexcept {
    __m256i first;
    __m256i second = broadcast(x);
    asm("vpmaddubsw %[second], %[w0], %[first]\n\t"
        "vpmaddubsw %[second], %[w1], %[second]\n\t"
        "vpaddw %[first], %[count0], %[count0]\n\t"
        "vpaddw %[second], %[count1], %[count1]"
        : [count0] "+x"(count.part[0].data), [count1] "+x"(count.part[1].data), [second] "+&x"(second), [first] "=&x"(first)
        : [w0] "x"(fours.part[0].data), [w1] "x"(fours.part[1].data));
    return count;
  }

  static Sum add_scaled(const Sum& sum, const Count& count, float factor, const Sum& scales) noexcept {
    return Base::template each<Sum>([&](std::size_t i) {
      return fma<Arch>(V(_mm256_cvtepi32_ps(count.part[i].data)) * V(factor), scales.part[i], sum.part[i]);
    });
  }
  static Sum add_scaled(const Sum& sum, const Int4Count& count, float factor, const Sum& scales) noexcept {
    const auto total = Base::template each<Count>(
        [&](std::size_t i) { return I(_mm256_madd_epi16(count.part[i].data, _mm256_set1_epi16(1))); });
    return add_scaled(sum, total, factor, scales);
  }

 private:
  static __m256i broadcast(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
};

}  // namespace ffmem::kernels
