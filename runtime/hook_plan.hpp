// Which hooks of a run want which points, asked once at its start.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

class HookPlan {
 public:
  explicit HookPlan(std::size_t n_layers) : begins_(n_layers * kNumPoints + 1, 0) {}

  /// Asks the hooks of a new run, which replace those of the run before. Throws argument_invalid for a null one, and what their
  /// access() throws.
  void ask(std::span<Hook* const> hooks);

  bool wants(Point point, std::size_t layer = 0) const { return !slot(point, layer).empty(); }

  /// Shows `view` to the hooks of its point, in order.
  void visit(const MutablePointView& view) const;

  /// The last layer at which any per-layer point is wanted, and the last such point there; without meaning where
  /// wants_layers() is false.
  bool wants_layers() const noexcept { return wants_layers_; }
  std::size_t last_layer() const noexcept { return last_layer_; }
  Point last_point() const noexcept { return last_point_; }

 private:
  struct Entry {
    Hook* hook;
    Hook::Access access;
  };
  void add_entries(std::span<Hook* const> hooks, Point point, std::size_t layer);
  std::span<const Entry> slot(Point point, std::size_t layer) const;

  std::vector<std::size_t> begins_;  // [n_layers * kNumPoints + 1]: a point's entries; final points in layer 0
  std::vector<Entry> entries_;       // layer by layer, point by point, in the order of the hooks
  bool wants_layers_ = false;
  std::size_t last_layer_ = 0;
  Point last_point_ = Point::residual_pre;
};

}  // namespace ffmem
