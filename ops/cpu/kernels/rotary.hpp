// Rotary position embedding of one head: (a, b) -> (a cos - b sin, b cos + a sin) for each of its pairs.
#pragma once

#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Rotary {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;

  static V turned_a(const V& a, const V& b, const V& cos, const V& sin) noexcept { return fma<Arch>(a, cos, -(b * sin)); }
  static V turned_b(const V& a, const V& b, const V& cos, const V& sin) noexcept { return fma<Arch>(b, cos, a * sin); }

  static void rotate_halves(float* x, const float* cos, const float* sin, std::size_t half) noexcept {
    for_each_vector<Arch>(half, [&](std::size_t k, std::size_t lanes) {
      const V a = load_n<Arch>(x + k, lanes);
      const V b = load_n<Arch>(x + half + k, lanes);
      const V c = load_n<Arch>(cos + k, lanes);
      const V s = load_n<Arch>(sin + k, lanes);
      store_n<Arch>(turned_a(a, b, c, s), x + k, lanes);
      store_n<Arch>(turned_b(a, b, c, s), x + half + k, lanes);
    });
  }

  static void rotate_pairs(float* x, const float* cos, const float* sin, std::size_t half) noexcept {
    for_each_vector<Arch>(half, [&](std::size_t k, std::size_t lanes) {
      alignas(64) float a[kW] = {};
      alignas(64) float b[kW] = {};
      for (std::size_t i = 0; i < lanes; ++i) {
        a[i] = x[2 * (k + i)];
        b[i] = x[2 * (k + i) + 1];
      }
      const V va = V::load_aligned(a);
      const V vb = V::load_aligned(b);
      const V c = load_n<Arch>(cos + k, lanes);
      const V s = load_n<Arch>(sin + k, lanes);
      turned_a(va, vb, c, s).store_aligned(a);
      turned_b(va, vb, c, s).store_aligned(b);
      for (std::size_t i = 0; i < lanes; ++i) {
        x[2 * (k + i)] = a[i];
        x[2 * (k + i) + 1] = b[i];
      }
    });
  }
};

}  // namespace ffmem::kernels
