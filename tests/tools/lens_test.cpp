#include "tools/lens.hpp"

#include <doctest/doctest.h>

#include "tests/loaders/thrown.hpp"

using namespace ffmem;
using namespace ffmem::tools;

TEST_CASE("lens: a lens is found by its name, and another name refused") {
  CHECK(lens_from_name("raw") == Lens::raw);
  CHECK(lens_from_name("final-norm") == Lens::final_norm);
  CHECK(thrown([] { lens_from_name("tuned"); }).code() == ErrorCode::argument_invalid);
}
