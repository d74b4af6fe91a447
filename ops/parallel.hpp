// Loops over OpenMP threads, for bodies that do not throw.
#pragma once

#include <cstddef>

namespace ffmem {

/// Below about this many multiply-adds (some microseconds) a loop costs less than waking other threads for it.
inline constexpr std::size_t kParallelWork = 100'000;

/// f(i) for i < n in equal shares; `work` estimates one call's multiply-adds.
template <class F>
void parallel_for(std::size_t n, std::size_t work, F f) {
#pragma omp parallel for schedule(static) if (n > 1 && n * work > kParallelWork)
  for (std::size_t i = 0; i < n; ++i) f(i);
}

/// Likewise for calls of unequal length: a thread that is done takes the next.
template <class F>
void parallel_tasks(std::size_t n, std::size_t work, F f) {
#pragma omp parallel for schedule(dynamic) if (n > 1 && n * work > kParallelWork)
  for (std::size_t i = 0; i < n; ++i) f(i);
}

}  // namespace ffmem
