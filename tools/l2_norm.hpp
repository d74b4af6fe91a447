// The length of a vector.
#pragma once

#include <cmath>
#include <span>

namespace ffmem::tools {

/// |v|, summed in double.
inline double l2_norm(std::span<const float> v) {
  double squares = 0.0;
  for (const float x : v) squares += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(squares);
}

}  // namespace ffmem::tools
