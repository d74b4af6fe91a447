#include "ops/aligned_buffer.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <new>
#include <utility>

using namespace ffmem;

TEST_CASE("AlignedBuffer: what no memory could hold is bad_alloc, not a number that wrapped around") {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t n : {most, most / 4, most / 4 + 1, std::size_t{1} << 62}) {
    CHECK_THROWS_AS(AlignedBuffer{n}, std::bad_alloc);
  }
}

TEST_CASE("AlignedBuffer: one that was moved from is empty") {
  AlignedBuffer from(5);
  const AlignedBuffer to(std::move(from));
  CHECK(to.size() == 5);
  CHECK(from.size() == 0);  // NOLINT(bugprone-use-after-move)
  CHECK(from.data() == nullptr);
}
