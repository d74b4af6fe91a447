#include "tools/experiments/weight_errors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

using namespace ffmem;
using namespace ffmem::tools;

namespace {

const std::filesystem::path kFolder = std::filesystem::path(FFMEM_TEST_DATA) / "hf" / "gpt2";
const std::vector<TokenId> kTokens{1, 5, 9, 2, 7};

/// Of all points.
double largest_error(WeightMode mode) {
  double largest = 0.0;
  for (const PointError& point : weight_errors(kFolder, Model::load(kFolder, {.weights = mode}), kTokens)) {
    largest = std::max(largest, point.error);
  }
  return largest;
}

}  // namespace

TEST_CASE("weight_errors: every point once, in order, and the coarser the mode the larger") {
  const auto errors = weight_errors(kFolder, Model::load(kFolder, {.weights = WeightMode::int8}), kTokens);
  REQUIRE(errors.size() == kNumPoints);
  for (std::size_t p = 0; p < kNumPoints; ++p) CHECK(errors[p].point == kAllPoints[p]);
  CHECK(largest_error(WeightMode::f32) < 1e-5);
  CHECK(largest_error(WeightMode::bf16) > 1e-4);
  CHECK(largest_error(WeightMode::bf16) < largest_error(WeightMode::int8));
  CHECK(largest_error(WeightMode::int8) < largest_error(WeightMode::int4));
}
