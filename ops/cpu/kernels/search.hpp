// Scans over long rows: exp sums for log_sum_exp, the largest of each column, and the compares that top_k and find_above skip
// most elements with.
#pragma once

#include "ops/cpu/kernels/functions.hpp"
#include "ops/cpu/kernels/simd.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Search {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kStep = 4 * kW;

  // Of NaN and a number x86's max takes its second operand: NaN is passed over unless it comes first.
  static float largest(const float* x, std::size_t n) noexcept {
    V most[4] = {V(x[0]), V(x[0]), V(x[0]), V(x[0])};  // in turn: a maximum waits for the one before it
    std::size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) most[j] = xsimd::max(load<Arch>(x + i + j * kW), most[j]);
    }
    for (; i + kW <= n; i += kW) most[0] = xsimd::max(load<Arch>(x + i), most[0]);
    most[0] = xsimd::max(xsimd::max(most[0], most[1]), xsimd::max(most[2], most[3]));
    float result = first_lane<Arch>(max_lanes<Arch>(most[0]));
    for (; i < n; ++i) result = x[i] > result ? x[i] : result;
    return result;
  }

  // The sum of exp(x - most) over n <= kSumLength elements, in four partial sums that take turns.
  static float exp_sum_part(const float* x, std::size_t n, const V& most) noexcept {
    V sums[4] = {V(0.0F), V(0.0F), V(0.0F), V(0.0F)};
    std::size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) sums[j] = add_exp<Arch>(sums[j], load<Arch>(x + i + j * kW) - most);
    }
    for (std::size_t j = 0; i < n; ++j, i += kW) {
      const std::size_t lanes = least(n - i, kW);
      const auto exists = lane_numbers<Arch>() < V(static_cast<float>(lanes));
      sums[j] = xsimd::select(exists, add_exp<Arch>(sums[j], load_n<Arch>(x + i, lanes) - most), sums[j]);
    }
    return first_lane<Arch>(sum_lanes<Arch>((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }

  // float32 sums of kSumLength elements each, added up in double: exact enough for any vocabulary.
  static constexpr std::size_t kSumLength = 1024;

  static void exp_sum(const float* x, std::size_t n, float* most, double* sum) noexcept {
    *most = largest(x, n);
    *sum = 0;
    for (std::size_t i = 0; i < n; i += kSumLength) {
      *sum += static_cast<double>(exp_sum_part(x + i, least(n - i, kSumLength), V(*most)));
    }
  }

  static std::size_t next_above(const float* x, std::size_t begin, std::size_t n, float threshold) noexcept {
    const V t(threshold);
    std::size_t i = begin;
    for (; i + kStep <= n; i += kStep) {
      const auto above = (load<Arch>(x + i) > t) || (load<Arch>(x + i + kW) > t) || (load<Arch>(x + i + 2 * kW) > t) ||
                         (load<Arch>(x + i + 3 * kW) > t);
      if (xsimd::any(above)) break;
    }
    while (i < n && !(x[i] > threshold)) ++i;
    return i;
  }

  static void keep_larger(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels) noexcept {
    using I = xsimd::batch<std::int32_t, Arch>;
    const V label_bits(__builtin_bit_cast(typename V::register_type, I(label).data));
    std::size_t i = 0;
    for (; i + kW <= n; i += kW) {
      const V v = load<Arch>(x + i);
      const V before = load<Arch>(largest + i);
      const auto above = v > before;
      const V labels_before(__builtin_bit_cast(typename V::register_type, I::load_unaligned(labels + i).data));
      const V label_after = xsimd::select(above, label_bits, labels_before);
      xsimd::select(above, v, before).store_unaligned(largest + i);
      I(__builtin_bit_cast(typename I::register_type, label_after.data)).store_unaligned(labels + i);
    }
    for (; i < n; ++i) {
      if (!(x[i] > largest[i])) continue;
      largest[i] = x[i];
      labels[i] = label;
    }
  }

  static std::size_t find_above(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices) noexcept {
    std::size_t found = 0;
    const auto scan = [&](std::size_t begin, std::size_t end) {
      for (std::size_t j = begin; j < end; ++j) {
        indices[found] = static_cast<std::uint32_t>(j);  // overwritten by the next unless it counts
        found += x[j] > threshold[j] ? 1 : 0;
      }
    };
    const auto above = [&](std::size_t i) { return load<Arch>(x + i) > load<Arch>(threshold + i); };
    std::size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
      if (xsimd::any(above(i) || above(i + kW) || above(i + 2 * kW) || above(i + 3 * kW))) scan(i, i + kStep);
    }
    scan(i, n);
    return found;
  }
};

}  // namespace ffmem::kernels
