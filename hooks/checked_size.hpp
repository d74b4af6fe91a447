// The number of elements of an array whose sizes a caller gave.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "ops/error.hpp"

namespace ffmem {

/// Their product. Throws argument_invalid, naming `what`, for more than 2^59: no array of 8-byte numbers has so many.
inline std::size_t checked_size(const char* what, std::initializer_list<std::size_t> sizes) {
  constexpr std::size_t kMost = std::size_t{1} << 59U;
  std::size_t product = 1;
  for (const std::size_t size : sizes) {
    if (size != 0 && product > kMost / size) {
      fail(ErrorCode::argument_invalid, what, ": expected sizes of at most ", kMost, " numbers in all");
    }
    product *= size;
  }
  return product;
}

}  // namespace ffmem
