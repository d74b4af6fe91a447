// Loops over OpenMP threads, for bodies that do not throw.
#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

#include "ops/threads.hpp"

namespace ffmem {

/// Below about this many multiply-adds (some microseconds) a loop costs less than waking other threads for it.
inline constexpr std::size_t kParallelWork = 100'000;

/// f(i) for i < n in equal shares; `work` estimates one call's multiply-adds.
template <class F>
void parallel_for(std::size_t n, std::size_t work, F f) {
  const bool in_parallel = n > 1 && n * work > kParallelWork;
  if (in_parallel) announce_threads();
#pragma omp parallel for schedule(static) if (in_parallel)
  for (std::size_t i = 0; i < n; ++i) f(i);
}

/// The numbers below n, a share of consecutive ones for each of `threads`, for threads to work through together. Beyond
/// kMostShares threads some begin at the same share.
class TaskShares {
 public:
  static constexpr std::size_t kMostShares = 64;

  TaskShares(std::size_t n, int threads) : n_(n), count_(std::min(static_cast<std::size_t>(threads), kMostShares)) {
    for (std::size_t i = 0; i < count_; ++i) shares_[i].next = begin(i);
  }

  /// f(i) for what is left of this thread's share, then of those behind it and of the others. Any number of threads at once.
  template <class F>
  void run(std::size_t thread, const F& f) {
    for (std::size_t k = 0; k < count_; ++k) {
      const std::size_t share = (thread + k) % count_;
      while (true) {
        const std::size_t i = std::atomic_ref(shares_[share].next).fetch_add(1, std::memory_order_relaxed);
        if (i >= begin(share + 1)) break;
        f(i);
      }
    }
  }

 private:
  struct alignas(64) Share {  // a cache line of its own
    std::size_t next;
  };

  std::size_t begin(std::size_t share) const { return n_ * share / count_; }

  std::size_t n_;
  std::size_t count_;
  std::array<Share, kMostShares> shares_;  // the first count_; the others' lines are not touched
};

/// Likewise for calls of unequal length: each thread goes through its own equal share, where its cache holds what it read and
/// wrote in the loops before, and then takes what is left of the others'.
template <class F>
void parallel_tasks(std::size_t n, std::size_t work, F f) {
  if (n <= 1 || n * work <= kParallelWork) {
    for (std::size_t i = 0; i < n; ++i) f(i);
    return;
  }
  announce_threads();
  const int threads = available_threads();
  TaskShares shares(n, threads);
#pragma omp parallel num_threads(threads)
  shares.run(static_cast<std::size_t>(omp_get_thread_num()), f);
}

}  // namespace ffmem
