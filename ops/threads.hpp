// How many OpenMP threads the operators called from this host thread use.
#pragma once

namespace ffmem {

/// What the machine and OMP_NUM_THREADS offer to this host thread now.
int available_threads() noexcept;

/// Every parallel region of the library is announced by it. Where a host thread fork()s afterwards, it computes alone in the
/// child, whatever is asked for: GCC's OpenMP would wait for ever for the threads that stayed behind. The bits are the same.
void announce_threads() noexcept;

/// Sets the number for this host thread and restores the earlier one when it ends. n_threads <= 0 leaves it as it is.
class ThreadScope {
 public:
  explicit ThreadScope(int n_threads) noexcept;
  ~ThreadScope();
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int previous_;
};

}  // namespace ffmem
