#include "ops/threads.hpp"

#include <omp.h>
#include <pthread.h>

namespace ffmem {
namespace {

thread_local bool has_announced = false;
thread_local bool is_alone = false;  // in the child of a thread that had others

void set_threads(int n) noexcept { omp_set_num_threads(is_alone ? 1 : n); }

void begin_child() noexcept {
  is_alone = has_announced;
  if (is_alone) set_threads(1);
}

}  // namespace

int available_threads() noexcept { return omp_get_max_threads(); }

void announce_threads() noexcept {
  static const int registered = ::pthread_atfork(nullptr, nullptr, begin_child);
  static_cast<void>(registered);
  has_announced = true;
}

ThreadScope::ThreadScope(int n_threads) noexcept : previous_(omp_get_max_threads()) {
  if (n_threads > 0) set_threads(n_threads);
}

ThreadScope::~ThreadScope() { set_threads(previous_); }

}  // namespace ffmem
