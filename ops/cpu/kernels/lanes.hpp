// 16 outputs on any instruction set, without dot products: weights of other formats become float32, in which the sums of a
// group's whole numbers are exact, as they stay below 2^24.
//
// What the tiles ask of Lanes, here and in lanes_avx2.hpp and lanes_avx512.hpp:
//
//   Sum, Weights                  16 float32; a line of packed weights
//   Count, Int4Count              16 sums of whole numbers, of int8 and of int4
//   kF32Vectors, kIntVectors      panels of a tile whose sums are float32s, whole numbers; kLoneVectors: of one row's
//   kF32Rows, kBf16Rows, kIntRows, kInt4Rows   rows of a tile
//   kIntSteps                     lines of a group without a branch between them
//   kInt8Units                    units of x that a line of int8 is multiplied by
//   kMultipliesBf16               whether there is dot_bf16(sum, pair of x, line)
//   zero, load, store             a vector of zeros; the first n outputs of one, from memory and to it
//   add, add_product              a + b; sum + factor * x
//   weights                       a line from memory
//   as_floats, upper_bf16, lower_bf16, low_fours, high_fours   what a line holds
//   count, int4_start             where counts begin
//   dot_int8, dot_int4            a count and a line's products with units of x
//   add_scaled                    sum + (count * factor) * scales
//   counts                        counts from memory, of Lanes beside a tile unit (tile_matmul.hpp)
#pragma once

#include "ops/cpu/kernels/simd.hpp"
#include "ops/cpu/matmul_kernels.hpp"

namespace ffmem::kernels {

template <class Arch>
struct PlainLanes {
  using V = Vec<Arch>;
  using I = xsimd::batch<std::int32_t, Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kParts = kLanes / kW;
  struct Sum {
    V part[kParts];
  };
  using Count = Sum;
  using Int4Count = Count;
  struct Weights {
    I part[kParts];
  };
  static constexpr std::size_t kF32Vectors = kParts == 1 ? 3 : 1;
  static constexpr std::size_t kIntVectors = kParts == 1 ? 4 : 1;
  static constexpr std::size_t kLoneVectors = kParts == 4 ? 1 : 4;
#if defined(__aarch64__)
  static constexpr std::size_t kF32Rows = 6;  // 24 of 32 registers
#else
  static constexpr std::size_t kF32Rows = kParts == 4 ? 2 : kParts == 2 ? 6 : 9;  // 8 or 12 of 16, or with 3 vectors 27 of 32
#endif
  static constexpr std::size_t kBf16Rows = kParts == 4 ? 2 : kParts == 2 ? 4 : 8;
  static constexpr bool kMultipliesBf16 = false;
  static constexpr std::size_t kIntRows = kParts == 4 ? 1 : 2;
  static constexpr std::size_t kInt4Rows = kIntRows;
  static constexpr std::size_t kIntSteps = 16;
  static constexpr std::size_t kInt8Units = 1;  // of x for a line

  template <class Result, class F>
  static Result each(F f) noexcept {
    Result result;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kParts; ++i) result.part[i] = f(i);
    return result;
  }

  static Sum zero() noexcept {
    return each<Sum>([](std::size_t) { return V(0.0F); });
  }
  static Sum load(const float* p, std::size_t n) noexcept {
    return each<Sum>([=](std::size_t i) { return i * kW < n ? load_n<Arch>(p + i * kW, part_of(n, i)) : V(0.0F); });
  }
  static void store(const Sum& sum, float* p, std::size_t n) noexcept {
    for (std::size_t i = 0; i * kW < n; ++i) store_n<Arch>(sum.part[i], p + i * kW, part_of(n, i));
  }
  static Sum add(const Sum& a, const Sum& b) noexcept {
    return each<Sum>([&](std::size_t i) { return a.part[i] + b.part[i]; });
  }

  static Weights weights(const std::byte* p) noexcept {
    return each<Weights>([=](std::size_t i) { return I::load_aligned(reinterpret_cast<const std::int32_t*>(p) + i * kW); });
  }
  static Sum as_floats(const Weights& w) noexcept {
    return each<Sum>([&](std::size_t i) { return V(__builtin_bit_cast(typename V::register_type, w.part[i].data)); });
  }
  static Sum upper_bf16(const Weights& w) noexcept {
    return as_floats(each<Weights>([&](std::size_t i) { return w.part[i] & I(static_cast<std::int32_t>(0xffff0000U)); }));
  }
  static Sum lower_bf16(const Weights& w) noexcept {
    return as_floats(each<Weights>([&](std::size_t i) { return w.part[i] << 16; }));
  }
  static Weights low_fours(const Weights& w) noexcept {
    return each<Weights>([&](std::size_t i) { return w.part[i] & I(0x0f0f0f0f); });
  }
  static Weights high_fours(const Weights& w) noexcept {
    return each<Weights>([&](std::size_t i) { return (w.part[i] >> 4) & I(0x0f0f0f0f); });
  }

  static Count count(std::int32_t n) noexcept {
    return each<Count>([n](std::size_t) { return V(static_cast<float>(n)); });
  }
  /// kLanes whole numbers below 2^24.
  static Count counts(const std::int32_t* p) noexcept {
    return each<Count>([=](std::size_t i) { return xsimd::to_float(I::load_aligned(p + i * kW)); });
  }
  static Int4Count int4_start() noexcept { return count(0); }
  static Count dot_int4(const Count& count, const Weights& fours, std::uint32_t x) noexcept {
    return dot_int8(count, fours, &x);
  }
  static Count dot_int8(Count count, const Weights& w, const std::uint32_t* x) noexcept {
#pragma GCC unroll 4
    for (int byte = 0; byte < 4; ++byte) {
      const V xi(static_cast<float>(static_cast<std::int8_t>(*x >> (8 * byte))));
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kParts; ++i) {
        const I number = (w.part[i] >> (8 * byte)) & I(0xff);
        count.part[i] = fma<Arch>(xi, xsimd::to_float(number), count.part[i]);
      }
    }
    return count;
  }

  static Sum add_scaled(const Sum& sum, const Count& count, float factor, const Sum& scales) noexcept {
    return each<Sum>([&](std::size_t i) { return fma<Arch>(count.part[i] * V(factor), scales.part[i], sum.part[i]); });
  }
  static Sum add_product(const Sum& sum, float factor, const Sum& x) noexcept {
    return each<Sum>([&](std::size_t i) { return fma<Arch>(V(factor), x.part[i], sum.part[i]); });
  }

 private:
  static std::size_t part_of(std::size_t n, std::size_t i) noexcept { return n - i * kW < kW ? n - i * kW : kW; }
};

}  // namespace ffmem::kernels
