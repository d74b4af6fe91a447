#include "ops/cpu/top_k_row.hpp"

#include <algorithm>
#include <cmath>

namespace ffmem {
namespace {

// Whether element a comes before b: larger first, then by index; NaN last.
struct RanksBefore {
  const float* x;

  bool operator()(std::uint32_t a, std::uint32_t b) const noexcept {
    if (x[a] > x[b]) return true;
    if (x[a] < x[b]) return false;
    const bool a_is_nan = std::isnan(x[a]);
    const bool b_is_nan = std::isnan(x[b]);
    return a_is_nan != b_is_nan ? b_is_nan : a < b;
  }
};

// The best element alone: each one found above it is the next best, about log n of them.
std::uint32_t best_of_row(const KernelTable& kernels, const float* x, std::size_t n) noexcept {
  std::size_t best = 0;
  while (best < n && std::isnan(x[best])) ++best;
  if (best == n) return 0;
  for (std::size_t i = best + 1; (i = kernels.next_above(x, i, n, x[best])) < n; ++i) best = i;
  return static_cast<std::uint32_t>(best);
}

}  // namespace

void top_k_row(const KernelTable& kernels, const float* x, std::size_t n, std::size_t k, std::span<std::uint32_t> candidates,
               std::uint32_t* indices) noexcept {
  if (k == 1) {
    indices[0] = best_of_row(kernels, x, n);
    return;
  }
  const RanksBefore before{x};
  const auto begin = candidates.begin();
  const auto kth = begin + static_cast<std::ptrdiff_t>(k) - 1;
  std::size_t count = k;
  for (std::uint32_t i = 0; i < k; ++i) candidates[i] = i;
  float bar = 0;
  // Later elements count only if strictly above the k-th best so far: on a tie the earlier index wins.
  const auto keep_best = [&] {
    std::nth_element(begin, kth, begin + static_cast<std::ptrdiff_t>(count), before);
    count = k;
    bar = x[*kth];
  };
  keep_best();
  for (std::size_t i = k; i < n; ++i) {
    if (!std::isnan(bar)) {
      i = kernels.next_above(x, i, n, bar);
      if (i == n) break;
    } else if (std::isnan(x[i])) {
      continue;
    }
    candidates[count++] = static_cast<std::uint32_t>(i);
    if (count == candidates.size()) keep_best();
  }
  std::partial_sort(begin, kth + 1, begin + static_cast<std::ptrdiff_t>(count), before);
  std::copy_n(begin, k, indices);
}

}  // namespace ffmem
