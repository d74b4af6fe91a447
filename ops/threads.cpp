#include "ops/threads.hpp"

#include <omp.h>

namespace ffmem {

int available_threads() noexcept { return omp_get_max_threads(); }

ThreadScope::ThreadScope(int n_threads) noexcept : previous_(omp_get_max_threads()) {
  if (n_threads > 0) omp_set_num_threads(n_threads);
}

ThreadScope::~ThreadScope() { omp_set_num_threads(previous_); }

}  // namespace ffmem
