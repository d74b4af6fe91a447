#include "hooks/intervene.hpp"

#include <algorithm>
#include <utility>

#include "ops/error.hpp"

namespace ffmem {
namespace {

bool applies_at(const Edit& edit, Point point, std::size_t layer) {
  return edit.point == point && (!is_per_layer(point) || edit.layer == layer);
}

bool applies_to(const Edit& edit, const RowOrigin& origin) {
  return edit.position.value_or(origin.position) == origin.position &&
         edit.sequence.value_or(origin.sequence) == origin.sequence;
}

std::string place(const Edit& edit) { return concat("Intervene: ", name(edit.point), " of layer ", edit.layer, ": "); }

void check_shape(const Edit& edit, std::size_t width) {
  if (edit.unit && *edit.unit >= width) {
    fail(ErrorCode::unit_out_of_range, place(edit), "expected a unit below ", width, ", found ", *edit.unit);
  }
  if (edit.kind == Edit::Kind::patch && (edit.vectors.empty() || edit.vectors.size() % width != 0)) {
    fail(ErrorCode::argument_invalid, place(edit), "patch: expected whole rows of ", width, " values, found ",
         edit.vectors.size(), " values");
  }
  if (edit.kind == Edit::Kind::add && edit.vectors.size() != width) {
    fail(ErrorCode::argument_invalid, place(edit), "add: expected a vector of ", width, " values, found ", edit.vectors.size());
  }
}

/// All errors an edit can meet in this view, before anything is changed.
void check(const Edit& edit, const MutablePointView& view) {
  check_shape(edit, view.values.cols);
  if (edit.kind != Edit::Kind::patch) return;
  const std::size_t n_positions = edit.vectors.size() / view.values.cols;
  for (const RowOrigin& origin : view.origins) {
    if (applies_to(edit, origin) && origin.position >= n_positions) {
      fail(ErrorCode::position_out_of_range, place(edit), "patch: expected a position below ", n_positions,
           " (the rows given), found ", origin.position);
    }
  }
}

void apply(const Edit& edit, std::uint32_t position, std::span<float> row) {
  const std::size_t begin = edit.unit.value_or(0);
  const std::size_t end = edit.unit ? begin + 1 : row.size();
  const auto part = row.subspan(begin, end - begin);
  switch (edit.kind) {
    case Edit::Kind::set:
      std::ranges::fill(part, edit.amount);
      break;
    case Edit::Kind::zero:
      std::ranges::fill(part, 0.0F);
      break;
    case Edit::Kind::scale:
      for (float& x : part) x *= edit.amount;
      break;
    case Edit::Kind::patch:
      std::copy_n(edit.vectors.data() + position * row.size() + begin, part.size(), part.data());
      break;
    case Edit::Kind::add:
      for (std::size_t i = begin; i < end; ++i) row[i] += edit.amount * edit.vectors[i];
      break;
  }
}

}  // namespace

Intervene::Intervene(std::vector<Edit> edits) : edits_(std::move(edits)) {}

Hook::Access Intervene::access(Point point, std::size_t layer) const {
  const bool any = std::ranges::any_of(edits_, [&](const Edit& edit) { return applies_at(edit, point, layer); });
  return any ? Access::write : Access::none;
}

void Intervene::write(const MutablePointView& view) {
  for (const Edit& edit : edits_) {
    if (applies_at(edit, view.point, view.layer)) check(edit, view);
  }
  for (const Edit& edit : edits_) {
    if (!applies_at(edit, view.point, view.layer)) continue;
    for (std::size_t r = 0; r < view.values.rows; ++r) {
      if (applies_to(edit, view.origins[r])) apply(edit, view.origins[r].position, view.values.row(r));
    }
  }
}

}  // namespace ffmem
