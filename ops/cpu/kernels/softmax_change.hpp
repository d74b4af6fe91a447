// Sums over the words of a softmax whose logits change.
#pragma once

#include "ops/cpu/kernels/functions.hpp"
#include "ops/cpu/kernels/simd.hpp"
#include "ops/rounding.hpp"
#include "ops/softmax_change.hpp"

namespace ffmem::kernels {

template <class Arch>
struct ChangedSoftmax {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;

  /// float32 sums of so many words are added up in double. Short, so that few words are summed again for one that needs it.
  static constexpr std::size_t kChunk = 256;

  /// Below this the series alone is exact.
  static constexpr float kSmallChange = 0.34F;

  /// (eˣ - 1 - x) / x² for |x| <= kSmallChange, Taylor.
  static V series(const V& x) noexcept {
    return polynomial<Arch>(x, 0.5F, 1.0F / 6, 1.0F / 24, 1.0F / 120, 1.0F / 720, 1.0F / 5040, 1.0F / 40320);
  }

  static V delta(const SoftmaxTerms& terms, std::size_t w, std::size_t n) noexcept {
    return fma<Arch>(V(terms.a), load_n<Arch>(terms.o + w, n), V(terms.b) * load_n<Arch>(terms.u + w, n));
  }

  static V new_logits(const SoftmaxTerms& terms, std::size_t w, std::size_t n) noexcept {
    const V sum = load_n<Arch>(terms.logits + w, n) + delta(terms, w, n);
    if (n == kW) return sum;
    return xsimd::select(lane_numbers<Arch>() < V(static_cast<float>(n)), sum, V(-std::numeric_limits<float>::infinity()));
  }

  /// p (eˣ - 1 - x), where kSmallChange <= |x| from eˣ, which nearer to 0 has no digits left.
  static float whole_remainder(const SoftmaxTerms& terms, std::size_t begin, std::size_t end) noexcept {
    V sum(0.0F);
    for_each_vector<Arch>(end - begin, [&](std::size_t i, std::size_t n) {
      const V x = delta(terms, begin + i, n);
      const V remainder = xsimd::select(xsimd::abs(x) < V(kSmallChange), x * x * series(x), exp<Arch>(x) - V(1.0F) - x);
      sum = fma<Arch>(load_n<Arch>(terms.p + begin + i, n), remainder, sum);
    });
    return first_lane<Arch>(sum_lanes<Arch>(sum));
  }

  /// The first of the words [begin, end) whose new logit is `logit`.
  static std::size_t find(const SoftmaxTerms& terms, std::size_t begin, std::size_t end, float logit) noexcept {
    for (std::size_t w = begin; w < end; w += kW) {
      alignas(64) float lanes[kW];
      new_logits(terms, w, least(end - w, kW)).store_aligned(lanes);
      for (std::size_t i = 0; i < kW; ++i) {
        if (lanes[i] == logit) return w + i;
      }
    }
    return end;
  }

  struct Sums {
    V linear = V(0.0F);
    V remainder = V(0.0F);
    V largest = V(0.0F);
    V best = V(-std::numeric_limits<float>::infinity());

    void add(const SoftmaxTerms& terms, std::size_t w, std::size_t n) noexcept {
      const V x = delta(terms, w, n);
      const V product = load_n<Arch>(terms.p + w, n) * x;
      largest = xsimd::max(xsimd::abs(x), largest);
      best = xsimd::max(new_logits(terms, w, n), best);
      linear += product;
      remainder = fma<Arch>(product * x, series(x), remainder);
    }
  };

  static void add_chunk(const SoftmaxTerms& terms, std::size_t begin, std::size_t end, SoftmaxChange& change) noexcept {
    Sums sums;
    std::size_t w = begin;
    for (; w + kW <= end; w += kW) sums.add(terms, w, kW);
    if (w < end) sums.add(terms, w, end - w);
    const float size = first_lane<Arch>(max_lanes<Arch>(sums.largest));
    if (size > change.largest) change.largest = size;
    change.linear += static_cast<double>(first_lane<Arch>(sum_lanes<Arch>(sums.linear)));
    const float logit = first_lane<Arch>(max_lanes<Arch>(sums.best));
    if (logit > change.best) {
      change.best = logit;
      change.best_word = terms.first + find(terms, begin, end, logit);
    }
    if (size >= kLargestLogitChange) return;
    change.remainder += static_cast<double>(size < kSmallChange ? first_lane<Arch>(sum_lanes<Arch>(sums.remainder))
                                                                : whole_remainder(terms, begin, end));
  }

  static void softmax_change(const SoftmaxTerms& terms, SoftmaxChange* change) noexcept {
    for (std::size_t w = 0; w < terms.n; w += kChunk) {
      add_chunk(terms, w, terms.n - w < kChunk ? terms.n : w + kChunk, *change);
    }
  }
};

}  // namespace ffmem::kernels
