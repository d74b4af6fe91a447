#include "hooks/intervene.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ops/error.hpp"
#include "tests/loaders/thrown.hpp"

using namespace ffmem;

namespace {

// Two sequences of two positions, three units: x = 100 sequence + 10 position + unit + 1.
struct Rows {
  std::vector<float> values{1, 2, 3, 11, 12, 13, 101, 102, 103, 111, 112, 113};
  std::vector<RowOrigin> origins{{0, 0}, {0, 1}, {1, 0}, {1, 1}};

  std::vector<float> after(std::vector<Edit> edits, Point point = Point::coefficients, std::size_t layer = 0) {
    Intervene intervene(std::move(edits));
    MutablePointView view;
    view.point = point;
    view.layer = layer;
    view.values = {values.data(), 4, 3};
    view.origins = origins;
    intervene.write(view);
    return values;
  }
};

/// The edit at layer 4, behind one that fits, must be refused with `code` and say its place and `says`.
void check_refused(Edit edit, ErrorCode code, const std::string& says) {
  Rows rows;
  const auto before = rows.values;
  const Edit harmless{.kind = Edit::Kind::zero, .layer = 4, .unit = 0};
  edit.layer = 4;
  const Error error = thrown([&] { rows.after({harmless, edit}, Point::coefficients, 4); });
  CHECK(rows.values == before);  // checked before anything is changed
  CHECK(error.code() == code);
  CHECK_MESSAGE(contains(error.what(), "Intervene: coefficients of layer 4: " + says), error.what());
}

}  // namespace

TEST_CASE("intervene: asks to write only where an edit is") {
  const Intervene intervene({{.point = Point::ffn_out, .layer = 2}, {.point = Point::final_hidden, .layer = 7}});
  CHECK(intervene.access(Point::ffn_out, 2) == Hook::Access::write);
  CHECK(intervene.access(Point::ffn_out, 1) == Hook::Access::none);
  CHECK(intervene.access(Point::ffn_in, 2) == Hook::Access::none);
  CHECK(intervene.access(Point::final_hidden, 0) == Hook::Access::write);
}

TEST_CASE("intervene: set, scale and zero a unit in every row") {
  CHECK(Rows().after({{.kind = Edit::Kind::set, .unit = 1, .amount = 7}}) ==
        std::vector<float>{1, 7, 3, 11, 7, 13, 101, 7, 103, 111, 7, 113});
  CHECK(Rows().after({{.kind = Edit::Kind::scale, .unit = 0, .amount = 2}}) ==
        std::vector<float>{2, 2, 3, 22, 12, 13, 202, 102, 103, 222, 112, 113});
  CHECK(Rows().after({{.kind = Edit::Kind::zero, .unit = 2}}) ==
        std::vector<float>{1, 2, 0, 11, 12, 0, 101, 102, 0, 111, 112, 0});
}

TEST_CASE("intervene: position and sequence choose the rows, without a unit the whole row") {
  CHECK(Rows().after({{.kind = Edit::Kind::zero, .position = 1}}) ==
        std::vector<float>{1, 2, 3, 0, 0, 0, 101, 102, 103, 0, 0, 0});
  CHECK(Rows().after({{.kind = Edit::Kind::set, .sequence = 1, .amount = 5}}) ==
        std::vector<float>{1, 2, 3, 11, 12, 13, 5, 5, 5, 5, 5, 5});
  CHECK(Rows().after({{.kind = Edit::Kind::scale, .position = 0, .sequence = 1, .amount = 0}}) ==
        std::vector<float>{1, 2, 3, 11, 12, 13, 0, 0, 0, 111, 112, 113});
}

TEST_CASE("intervene: add adds its vector, or one component of it") {
  const std::vector<float> vector{1, 10, 100};
  CHECK(Rows().after({{.kind = Edit::Kind::add, .position = 0, .sequence = 0, .amount = 2, .vectors = vector}}) ==
        std::vector<float>{3, 22, 203, 11, 12, 13, 101, 102, 103, 111, 112, 113});
  CHECK(Rows().after({{.kind = Edit::Kind::add, .unit = 1, .sequence = 1, .amount = -1, .vectors = vector}}) ==
        std::vector<float>{1, 2, 3, 11, 12, 13, 101, 92, 103, 111, 102, 113});
}

TEST_CASE("intervene: patch puts another run's row of the same position") {
  const std::vector<float> rows{-1, -2, -3, -4, -5, -6};
  CHECK(Rows().after({{.kind = Edit::Kind::patch, .vectors = rows}}) ==
        std::vector<float>{-1, -2, -3, -4, -5, -6, -1, -2, -3, -4, -5, -6});
  CHECK(Rows().after({{.kind = Edit::Kind::patch, .unit = 2, .sequence = 0, .vectors = rows}}) ==
        std::vector<float>{1, 2, -3, 11, 12, -6, 101, 102, 103, 111, 112, 113});
  // One row is enough where only its position is patched.
  CHECK(Rows().after({{.kind = Edit::Kind::patch, .position = 0, .sequence = 0, .vectors = {-1, -2, -3}}}) ==
        std::vector<float>{-1, -2, -3, 11, 12, 13, 101, 102, 103, 111, 112, 113});
}

TEST_CASE("intervene: edits are applied in their order, those of other layers and points not at all") {
  const Edit set{.kind = Edit::Kind::set, .unit = 0, .amount = 4};
  const Edit twice{.kind = Edit::Kind::scale, .unit = 0, .amount = 2};
  const Edit elsewhere{.kind = Edit::Kind::zero, .layer = 1};
  CHECK(Rows().after({set, twice, elsewhere})[0] == 8);
  CHECK(Rows().after({twice, set})[0] == 4);
  CHECK(Rows().after({set}, Point::ffn_in)[0] == 1);
}

TEST_CASE("intervene: errors name the edit that does not fit and what was found, and leave the rows alone") {
  check_refused({.kind = Edit::Kind::zero, .unit = 3}, ErrorCode::unit_out_of_range, "expected a unit below 3, found 3");
  check_refused({.kind = Edit::Kind::add, .amount = 1}, ErrorCode::argument_invalid,
                "add: expected a vector of 3 values, found 0");
  check_refused({.kind = Edit::Kind::add, .amount = 1, .vectors = {1, 2}}, ErrorCode::argument_invalid,
                "add: expected a vector of 3 values, found 2");
  check_refused({.kind = Edit::Kind::patch}, ErrorCode::argument_invalid,
                "patch: expected whole rows of 3 values, found 0 values");
  check_refused({.kind = Edit::Kind::patch, .vectors = {1, 2, 3, 4}}, ErrorCode::argument_invalid,
                "patch: expected whole rows of 3 values, found 4 values");
  check_refused({.kind = Edit::Kind::patch, .vectors = {1, 2, 3}}, ErrorCode::position_out_of_range,
                "patch: expected a position below 1 (the rows given), found 1");
}
