// Whole-number helpers. Inlined everywhere: kernels of several instruction sets may not share a function's body.
#pragma once

#include <cstddef>

namespace ffmem {

/// The smaller one.
[[gnu::always_inline]] constexpr std::size_t least(std::size_t a, std::size_t b) noexcept { return a < b ? a : b; }

/// How many groups of b hold a things. b > 0.
[[gnu::always_inline]] constexpr std::size_t ceil_div(std::size_t a, std::size_t b) noexcept { return (a + b - 1) / b; }

/// The next multiple of unit from n on. unit > 0.
[[gnu::always_inline]] constexpr std::size_t round_up(std::size_t n, std::size_t unit) noexcept {
  return ceil_div(n, unit) * unit;
}

}  // namespace ffmem
