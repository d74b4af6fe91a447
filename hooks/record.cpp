#include "hooks/record.hpp"

#include <algorithm>
#include <utility>

#include "ops/error.hpp"

namespace ffmem {

Record::Record(Options options) : options_(std::move(options)) {}

Hook::Access Record::access(Point point, std::size_t layer) const {
  if (!options_.points.contains(point)) return Access::none;
  const bool inside = !is_per_layer(point) || (layer >= options_.first_layer && layer < options_.end_layer);
  return inside ? Access::read : Access::none;
}

void Record::read(const PointView& view) {
  const auto& values = view.values;
  const std::size_t more_bytes = values.rows * values.cols * sizeof(float);
  if (more_bytes > options_.max_bytes - bytes_) {
    fail(ErrorCode::limit_exceeded, "Record: ", name(view.point), " of layer ", view.layer, ": ", more_bytes,
         " bytes more would pass the limit of ", options_.max_bytes, " bytes (", bytes_, " are in use)");
  }
  Rows& rows = rows_[{view.point, view.layer}];
  if (!rows.values.empty() && rows.width != values.cols) {
    fail(ErrorCode::argument_invalid, "Record: ", name(view.point), " of layer ", view.layer, ": expected rows of ", rows.width,
         " values as in earlier runs, found ", values.cols);
  }
  rows.width = values.cols;
  if (const std::size_t needed = rows.values.size() + values.rows * values.cols; needed > rows.values.capacity()) {
    // Doubled, so that many short runs cost no more, but not beyond what the limit leaves.
    const std::size_t most = rows.values.size() + (options_.max_bytes - bytes_) / sizeof(float);
    rows.values.reserve(std::min(std::max(needed, 2 * rows.values.size()), most));
  }
  for (std::size_t r = 0; r < values.rows; ++r) {
    const auto row = values.row(r);
    rows.values.insert(rows.values.end(), row.begin(), row.end());
  }
  bytes_ += more_bytes;
}

ConstMatrixView Record::at(Point point, std::size_t layer) const {
  const auto found = rows_.find({point, layer});
  if (found == rows_.end() || found->second.values.empty()) {
    fail(ErrorCode::argument_invalid, "Record: nothing was recorded at ", name(point), " of layer ", layer);
  }
  const Rows& rows = found->second;
  return {rows.values.data(), rows.values.size() / rows.width, rows.width};
}

std::vector<std::pair<Point, std::size_t>> Record::recorded() const {
  std::vector<std::pair<Point, std::size_t>> keys;
  for (const auto& [key, rows] : rows_) {
    if (!rows.values.empty()) keys.push_back(key);
  }
  return keys;
}

void Record::clear() {
  rows_.clear();
  bytes_ = 0;
}

}  // namespace ffmem
