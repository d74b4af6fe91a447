#include "hooks/hook.hpp"

#include <doctest/doctest.h>

#include "tests/loaders/thrown.hpp"

using namespace ffmem;

TEST_CASE("a hook that asks for a point and has no function for it is an error, not silence") {
  struct Asking : Hook {
    Access access(Point /*point*/, std::size_t /*layer*/) const override { return Access::read; }
  };
  Asking hook;
  PointView read;
  read.point = Point::coefficients;
  const Error reading = thrown([&] { hook.read(read); });
  CHECK(reading.code() == ErrorCode::argument_invalid);
  CHECK(contains(reading.what(), "asks to read coefficients must have a read()"));
  MutablePointView written;
  written.point = Point::ffn_out;
  const Error writing = thrown([&] { hook.write(written); });
  CHECK(contains(writing.what(), "asks to write ffn_out must have a write()"));
}
