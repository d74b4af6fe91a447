// A reading hook that keeps copies of what passed.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

class Record : public Hook {
 public:
  struct Options {
    std::set<Point> points;
    std::size_t first_layer = 0;
    std::size_t end_layer = static_cast<std::size_t>(-1);  // one behind the last
    std::size_t max_bytes = std::size_t{1} << 32;          // of all copies together; while one grows it exists twice
  };
  /// Allocates nothing yet. Layers that the model has not are never reached.
  explicit Record(Options options);

  Access access(Point point, std::size_t layer) const override;

  /// Appends the rows. Throws limit_exceeded when max_bytes would be passed, argument_invalid where the width is not that of
  /// earlier runs, std::bad_alloc. What a run recorded stays where it fails later.
  void read(const PointView& view) override;

  /// Everything recorded at a point (final_hidden and logits: of layer 0), over all runs so far, rows in the order they came.
  /// Throws argument_invalid where nothing was. Valid until the next run or clear().
  ConstMatrixView at(Point point, std::size_t layer = 0) const;

  /// All (point, layer) that have rows, in order.
  std::vector<std::pair<Point, std::size_t>> recorded() const;

  /// Forgets all rows and frees their memory; the options stay.
  void clear();

 private:
  struct Rows {
    std::size_t width = 0;
    std::vector<float> values;
  };
  Options options_;
  std::map<std::pair<Point, std::size_t>, Rows> rows_;
  std::size_t bytes_ = 0;
};

}  // namespace ffmem
