#include "ops/cpu/top_k_row.hpp"

#include <algorithm>
#include <cmath>

namespace ffmem {
namespace {

// Whether a comes before b: larger first, then by index; NaN last.
bool ranks_before(const RowElement& a, const RowElement& b) noexcept {
  if (a.value > b.value) return true;
  if (a.value < b.value) return false;
  const bool a_is_nan = std::isnan(a.value);
  const bool b_is_nan = std::isnan(b.value);
  return a_is_nan != b_is_nan ? b_is_nan : a.index < b.index;
}

}  // namespace

void top_k_row(const KernelTable& kernels, std::span<const float> x, std::size_t k, std::size_t first,
               std::span<RowElement> candidates, std::uint32_t* indices, float* values) noexcept {
  const auto at = [&](std::size_t i) { return candidates.begin() + static_cast<std::ptrdiff_t>(i); };
  std::size_t count = std::min(k, first);
  for (std::size_t i = 0; i < count; ++i) candidates[i] = {values[i], indices[i]};
  std::size_t next = 0;
  bool changed = false;
  const auto take = [&] {
    candidates[count++] = {x[next], static_cast<std::uint32_t>(first + next)};
    ++next;
    changed = true;
  };
  while (count < k && next < x.size()) take();

  // Later elements count only if strictly above the k-th best so far: on a tie the earlier index wins.
  float bar = count < k ? 0.0F : std::max_element(at(0), at(k), ranks_before)->value;
  while (next < x.size()) {
    if (std::isnan(bar)) {
      while (next < x.size() && std::isnan(x[next])) ++next;
    } else {
      next = kernels.next_above(x.data(), next, x.size(), bar);
    }
    if (next == x.size()) break;
    take();
    if (count == candidates.size()) {
      std::nth_element(at(0), at(k - 1), at(count), ranks_before);
      count = k;
      bar = candidates[k - 1].value;
    }
  }
  if (!changed) return;
  const std::size_t n = std::min(k, count);
  std::partial_sort(at(0), at(n), at(count), ranks_before);
  for (std::size_t i = 0; i < n; ++i) {
    indices[i] = candidates[i].index;
    values[i] = candidates[i].value;
  }
}

}  // namespace ffmem
