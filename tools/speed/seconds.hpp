#pragma once

#include <chrono>
#include <utility>

namespace ffmem::tools {

/// The seconds that `work` takes, by a clock that nobody sets.
template <class Work>
double seconds_of(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  std::forward<Work>(work)();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace ffmem::tools
