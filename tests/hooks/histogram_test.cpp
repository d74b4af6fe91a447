#include "hooks/histogram.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/error.hpp"
#include "tests/loaders/thrown.hpp"

using namespace ffmem;

TEST_CASE("histogram: bins are half-open and grow by powers of two") {
  const auto bin_of = [](float coefficient) {
    const std::vector<RowOrigin> origins{{0, 0}};
    PointView view;
    view.point = Point::coefficients;
    view.values = {&coefficient, 1, 1};
    view.origins = origins;
    Histogram histogram(1, 1);
    histogram.read(view);
    return std::ranges::find(histogram.counts(), 1U) - histogram.counts().begin();
  };
  CHECK(bin_of(0.0F) == 13);
  CHECK(bin_of(-0.0F) == 13);
  const auto check = [&](float magnitude, std::ptrdiff_t from_zero) {
    CAPTURE(magnitude);
    CHECK(bin_of(magnitude) == 13 + from_zero);
    CHECK(bin_of(-magnitude) == 13 - from_zero);
  };
  check(std::numeric_limits<float>::denorm_min(), 1);
  check(std::nextafter(1.0F / 64, 0.0F), 1);
  check(1.0F / 64, 2);
  check(1.0F, 8);
  check(std::nextafter(2.0F, 0.0F), 8);
  check(31.9F, 12);
  check(32.0F, 13);
  check(std::numeric_limits<float>::infinity(), 13);
}

TEST_CASE("histogram: counts every row of every call but NaN, and leaves out first positions when told") {
  const std::vector<float> values{1.0F, 0.0F, 1.0F, std::numeric_limits<float>::quiet_NaN()};  // [2, 2]
  const std::vector<RowOrigin> origins{{0, 0}, {0, 1}};
  PointView view;
  view.point = Point::coefficients;
  view.layer = 1;
  view.values = {values.data(), 2, 2};
  view.origins = origins;
  Histogram histogram(2, 2);
  histogram.read(view);
  histogram.skip_first(true);
  histogram.read(view);
  const auto count = [&](std::size_t unit, std::size_t bin) {
    constexpr std::size_t kLayer = 1;
    return histogram.counts()[(kLayer * 2 + unit) * Histogram::kBins + bin];
  };
  CHECK(count(0, 13 + 8) == 3);
  CHECK(count(1, 13) == 1);
  std::size_t total = 0;
  for (const auto n : histogram.counts()) total += n;
  CHECK(total == 4);
}

TEST_CASE("histogram: sizes whose product is no number are refused") {
  CHECK(thrown([] { Histogram(std::size_t{1} << 62U, 4); }).code() == ErrorCode::argument_invalid);
}

TEST_CASE("histogram: refuses coefficients of another model, by their width or their layer") {
  const std::vector<float> values(3, std::numeric_limits<float>::quiet_NaN());
  const std::vector<RowOrigin> origins{{0, 0}};
  Histogram histogram(2, 2);
  const auto refused = [&](std::size_t layer, std::size_t width) {
    PointView view;
    view.point = Point::coefficients;
    view.layer = layer;
    view.values = {values.data(), 1, width};
    view.origins = origins;
    return thrown([&] { histogram.read(view); });
  };
  const Error wide = refused(0, 3);
  CHECK(wide.code() == ErrorCode::argument_invalid);
  CHECK(contains(wide.what(), "a histogram of 2 layers of 2 memories: found layer 0 with 3"));
  const Error deep = refused(2, 2);
  CHECK(deep.code() == ErrorCode::argument_invalid);
  CHECK(contains(deep.what(), "a histogram of 2 layers of 2 memories: found layer 2 with 2"));
  CHECK(histogram.access(Point::coefficients, 1) == Hook::Access::read);
  CHECK(histogram.access(Point::key_scores, 1) == Hook::Access::none);
}
