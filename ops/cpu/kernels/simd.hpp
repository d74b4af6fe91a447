// What the kernels share: vectors of float, their partial loads and stores, and the transpose of a square of them.
//
// Everything here is a template on the xsimd architecture, so that no object compiled for one instruction set defines a
// function that code compiled for another could be linked to. For the same reason kernels call nothing of the standard
// library.
#pragma once

#include <cstddef>
#include <utility>
#include <xsimd/xsimd.hpp>

#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Arch>
using Vec = xsimd::batch<float, Arch>;

template <class Arch>
constexpr std::size_t kWidth = Vec<Arch>::size;

template <class Arch>
Vec<Arch> load(const float* p) noexcept {
  return Vec<Arch>::load_unaligned(p);
}

/// p[0 .. n), n < width, then zeros. Reads nothing past p + n.
template <class Arch>
Vec<Arch> load_first(const float* p, std::size_t n) noexcept {
#if defined(__AVX512F__)
  return Vec<Arch>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << n) - 1U), p));
#else
  alignas(64) float lanes[kWidth<Arch>];
  for (std::size_t i = 0; i < kWidth<Arch>; ++i) lanes[i] = i < n ? p[i] : 0.0F;
  return Vec<Arch>::load_aligned(lanes);
#endif
}

/// The first n lanes, n < width. Writes nothing past p + n.
template <class Arch>
void store_first(const Vec<Arch>& v, float* p, std::size_t n) noexcept {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << n) - 1U), v.data);
#else
  alignas(64) float lanes[kWidth<Arch>];
  v.store_aligned(lanes);
  for (std::size_t i = 0; i < n; ++i) p[i] = lanes[i];
#endif
}

/// Calls f(i, n) for the vectors that begin at 0, width, 2 width, ... of a row of `size`: n lanes of each exist.
template <class Arch, class F>
void for_each_vector(std::size_t size, F f) noexcept {
  std::size_t i = 0;
  for (; i + kWidth<Arch> <= size; i += kWidth<Arch>) f(i, kWidth<Arch>);
  if (i < size) f(i, size - i);
}

/// n lanes, n <= width, the others zero.
template <class Arch>
Vec<Arch> load_n(const float* p, std::size_t n) noexcept {
  return n == kWidth<Arch> ? load<Arch>(p) : load_first<Arch>(p, n);
}

template <class Arch>
void store_n(const Vec<Arch>& v, float* p, std::size_t n) noexcept {
  if (n == kWidth<Arch>) {
    v.store_unaligned(p);
  } else {
    store_first<Arch>(v, p, n);
  }
}

/// 0, 1, 2, ...
template <class Arch>
Vec<Arch> lane_numbers() noexcept {
  alignas(64) float lanes[kWidth<Arch>];
  for (std::size_t i = 0; i < kWidth<Arch>; ++i) lanes[i] = static_cast<float>(i);
  return Vec<Arch>::load_aligned(lanes);
}

/// a * b + c, rounded once where the instruction set can. (xsimd 8's own fma rounds twice on AVX-512 and NEON.)
template <class Arch>
Vec<Arch> fma(const Vec<Arch>& a, const Vec<Arch>& b, const Vec<Arch>& c) noexcept {
#if defined(__AVX512F__)
  return Vec<Arch>(_mm512_fmadd_ps(a.data, b.data, c.data));
#elif defined(__aarch64__)
  return Vec<Arch>(vfmaq_f32(c.data, a.data, b.data));
#else
  return xsimd::fma(a, b, c);
#endif
}

/// a / b, correctly rounded. (xsimd's own is an estimate on NEON.)
template <class Arch>
Vec<Arch> divide(const Vec<Arch>& a, const Vec<Arch>& b) noexcept {
  return Vec<Arch>(a.data / b.data);
}

namespace detail {

// Rounds 1 and 2 transpose each 4x4 square of lanes, whose registers are in-lane unpacks; later rounds exchange blocks of
// `Step` lanes between vectors i and i + Step.
template <class Arch, class Lanes>
struct Shuffle;

template <class Arch, std::size_t... L>
struct Shuffle<Arch, std::index_sequence<L...>> {
  static constexpr int kW = sizeof...(L);
  using V = Vec<Arch>;

  static constexpr int base(std::size_t lane) { return static_cast<int>(lane / 4 * 4); }

  template <int Offset>
  static V unpack(const V& a, const V& b) noexcept {
    return V(
        __builtin_shufflevector(a.data, b.data, (base(L) + Offset + static_cast<int>(L % 4) / 2 + (L % 2 != 0 ? kW : 0))...));
  }
  template <int Offset>
  static V unpack_pairs(const V& a, const V& b) noexcept {
    return V(__builtin_shufflevector(a.data, b.data, (base(L) + Offset + static_cast<int>(L % 2) + (L % 4 >= 2 ? kW : 0))...));
  }
  template <std::size_t Step>
  static V low_blocks(const V& a, const V& b) noexcept {
    return V(__builtin_shufflevector(a.data, b.data, static_cast<int>((L & Step) != 0 ? L - Step + kW : L)...));
  }
  template <std::size_t Step>
  static V high_blocks(const V& a, const V& b) noexcept {
    return V(__builtin_shufflevector(a.data, b.data, static_cast<int>((L & Step) != 0 ? L + kW : L + Step)...));
  }

  template <std::size_t Step>
  static void exchange_blocks(V* v) noexcept {
    if constexpr (Step < kW) {
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kW; ++i) {
        if ((i & Step) == 0) {
          const V a = v[i];
          v[i] = low_blocks<Step>(a, v[i + Step]);
          v[i + Step] = high_blocks<Step>(a, v[i + Step]);
        }
      }
      exchange_blocks<2 * Step>(v);
    }
  }

  // Every lane: all lanes combined by f, pairs `Step` apart first.
  template <std::size_t Step, class F>
  static V fold(const V& v, F f) noexcept {
    if constexpr (Step == 0) {
      return v;
    } else {
      return fold<Step / 2>(f(v, V(__builtin_shufflevector(v.data, v.data, static_cast<int>(L ^ Step)...))), f);
    }
  }

  static void transpose(V* v) noexcept {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kW; i += 4) {
      const V low01 = unpack<0>(v[i], v[i + 1]);
      const V high01 = unpack<2>(v[i], v[i + 1]);
      const V low23 = unpack<0>(v[i + 2], v[i + 3]);
      const V high23 = unpack<2>(v[i + 2], v[i + 3]);
      v[i] = unpack_pairs<0>(low01, low23);
      v[i + 1] = unpack_pairs<2>(low01, low23);
      v[i + 2] = unpack_pairs<0>(high01, high23);
      v[i + 3] = unpack_pairs<2>(high01, high23);
    }
    exchange_blocks<4>(v);
  }
};

}  // namespace detail

/// The sum of all lanes, in every lane.
template <class Arch>
Vec<Arch> sum_lanes(const Vec<Arch>& v) noexcept {
  using V = Vec<Arch>;
  return detail::Shuffle<Arch, std::make_index_sequence<kWidth<Arch>>>::template fold<kWidth<Arch> / 2>(
      v, [](const V& a, const V& b) { return a + b; });
}

/// The largest lane, in every lane.
template <class Arch>
Vec<Arch> max_lanes(const Vec<Arch>& v) noexcept {
  using V = Vec<Arch>;
  return detail::Shuffle<Arch, std::make_index_sequence<kWidth<Arch>>>::template fold<kWidth<Arch> / 2>(
      v, [](const V& a, const V& b) { return xsimd::max(a, b); });
}

template <class Arch>
float first_lane(const Vec<Arch>& v) noexcept {
  alignas(64) float lanes[kWidth<Arch>];
  v.store_aligned(lanes);
  return lanes[0];
}

/// Adds up term(i, n) over the vectors of a row of `size`, n lanes of each existing, in four partial sums that take turns.
template <class Arch, class Term>
Vec<Arch> sum_row(std::size_t size, Term term) noexcept {
  constexpr std::size_t kW = kWidth<Arch>;
  Vec<Arch> sums[4] = {Vec<Arch>(0.0F), Vec<Arch>(0.0F), Vec<Arch>(0.0F), Vec<Arch>(0.0F)};
  std::size_t i = 0;
  for (; i + 4 * kW <= size; i += 4 * kW) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) sums[j] += term(i + j * kW, kW);
  }
  for (std::size_t j = 0; i < size; ++j, i += kW) sums[j] += term(i, least(size - i, kW));
  return sum_lanes<Arch>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/// Lane j of vector i changes places with lane i of vector j; v holds width vectors.
template <class Arch>
inline void transpose(Vec<Arch>* v) noexcept {
  detail::Shuffle<Arch, std::make_index_sequence<kWidth<Arch>>>::transpose(v);
}

}  // namespace ffmem::kernels
