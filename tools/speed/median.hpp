#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

namespace ffmem::tools {

/// The middle one of the numbers in their order; of an even number of them the mean of the two in the middle. Not empty.
inline double median(std::vector<double> numbers) {
  std::ranges::sort(numbers);
  const std::size_t n = numbers.size();
  return std::midpoint(numbers[n / 2], numbers[(n - 1) / 2]);
}

}  // namespace ffmem::tools
