#include "hooks/record.hpp"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "ops/error.hpp"

using namespace ffmem;

namespace {

PointView view_of(const std::vector<float>& values, std::size_t rows, Point point, std::size_t layer) {
  PointView view;
  view.point = point;
  view.layer = layer;
  view.values = {values.data(), rows, values.size() / rows};
  return view;
}

ErrorCode code_of(auto&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("no error");
  return {};
}

}  // namespace

TEST_CASE("record: asks for its points in its layers only, and for final_hidden whatever the layers") {
  const Record record({.points = {Point::ffn_in, Point::final_hidden}, .first_layer = 1, .end_layer = 3});
  CHECK(record.access(Point::ffn_in, 0) == Hook::Access::none);
  CHECK(record.access(Point::ffn_in, 1) == Hook::Access::read);
  CHECK(record.access(Point::ffn_in, 2) == Hook::Access::read);
  CHECK(record.access(Point::ffn_in, 3) == Hook::Access::none);
  CHECK(record.access(Point::ffn_out, 1) == Hook::Access::none);
  CHECK(record.access(Point::final_hidden, 0) == Hook::Access::read);
}

TEST_CASE("record: blocks of rows come back as one matrix, without the padding between rows") {
  Record record({.points = {Point::ffn_in}});
  const std::vector<float> first{1, 2, -1, 3, 4, -1};
  auto view = view_of(first, 2, Point::ffn_in, 5);
  view.values.cols = 2;  // stride 3
  record.read(view);
  const std::vector<float> second{5, 6};
  record.read(view_of(second, 1, Point::ffn_in, 5));
  const auto all = record.at(Point::ffn_in, 5);
  REQUIRE(all.rows == 3);
  REQUIRE(all.cols == 2);
  CHECK(std::vector<float>(all.data, all.data + 6) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(record.recorded() == std::vector{std::pair{Point::ffn_in, std::size_t{5}}});
}

TEST_CASE("record: what was never seen, or cleared, is an error") {
  Record record({.points = {Point::ffn_in}});
  CHECK(code_of([&] { record.at(Point::ffn_in, 0); }) == ErrorCode::argument_invalid);
  const std::vector<float> row{1};
  record.read(view_of(row, 1, Point::ffn_in, 0));
  CHECK(record.at(Point::ffn_in).rows == 1);
  record.clear();
  CHECK(code_of([&] { record.at(Point::ffn_in, 0); }) == ErrorCode::argument_invalid);
  CHECK(record.recorded().empty());
}

TEST_CASE("record: the limit counts all points together, and passing it changes nothing") {
  Record record({.points = {Point::ffn_in, Point::ffn_out}, .max_bytes = 12});
  const std::vector<float> two{1, 2};
  record.read(view_of(two, 1, Point::ffn_in, 0));
  CHECK(code_of([&] { record.read(view_of(two, 1, Point::ffn_out, 0)); }) == ErrorCode::limit_exceeded);
  CHECK(record.recorded().size() == 1);
  const std::vector<float> one{3};
  record.read(view_of(one, 1, Point::ffn_out, 0));
  CHECK(record.at(Point::ffn_out).rows == 1);
}

TEST_CASE("record: many short runs fill the limit to its last number") {
  constexpr std::size_t kRuns = 1000;
  Record record({.points = {Point::ffn_in}, .max_bytes = kRuns * 2 * sizeof(float)});
  for (std::size_t run = 0; run < kRuns; ++run) {
    const std::vector<float> two{static_cast<float>(run), -1};
    record.read(view_of(two, 1, Point::ffn_in, 0));
  }
  const std::vector<float> more{1, 2};
  CHECK(code_of([&] { record.read(view_of(more, 1, Point::ffn_in, 0)); }) == ErrorCode::limit_exceeded);
  REQUIRE(record.at(Point::ffn_in).rows == kRuns);
  for (std::size_t run = 0; run < kRuns; ++run) CHECK(record.at(Point::ffn_in).row(run)[0] == static_cast<float>(run));
}

TEST_CASE("record: rows of another width at the same place are an error") {
  Record record({.points = {Point::logits}});
  const std::vector<float> two{1, 2};
  record.read(view_of(two, 1, Point::logits, 0));
  CHECK(code_of([&] { record.read(view_of(two, 2, Point::logits, 0)); }) == ErrorCode::argument_invalid);
}
