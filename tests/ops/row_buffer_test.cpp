#include "ops/row_buffer.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using namespace ffmem;

TEST_CASE("rows of a buffer begin at cache lines, an odd number of them apart") {
  for (const std::size_t width : {1, 15, 16, 17, 32, 33, 768, 1000, 1024, 4096}) {
    CAPTURE(width);
    const RowBuffer buffer(3, width);
    const MatrixView rows = buffer.matrix(3, width);
    CHECK(rows.rows == 3);
    CHECK(rows.cols == width);
    CHECK(rows.stride >= width);
    CHECK(rows.stride % 32 == 16);
    CHECK(reinterpret_cast<std::uintptr_t>(rows.row_data(2)) % 64 == 0);
    for (std::size_t r = 0; r < rows.rows; ++r) {
      for (const float x : rows.row(r)) REQUIRE(x == 0.0F);
    }
  }
}

TEST_CASE("a buffer of rows says what it holds") {
  const RowBuffer buffer(4, 32);
  CHECK(buffer.bytes() == std::size_t{4} * 48 * sizeof(float));
  CHECK(buffer.holds(4, 32));
  CHECK(buffer.holds(4, 48));
  CHECK(buffer.holds(12, 16));
  CHECK(!buffer.holds(5, 32));
  CHECK(!buffer.holds(4, 49));
  CHECK(!RowBuffer().holds(1, 1));
}
