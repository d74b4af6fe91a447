// Which hooks of one run want which points, asked once at its start.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

class HookPlan {
 public:
  HookPlan(std::span<Hook* const> hooks, std::size_t n_layers);

  bool wants(Point point, std::size_t layer = 0) const { return !slot(point, layer).empty(); }

  /// Shows `view` to the hooks of its point, in order.
  void visit(const MutablePointView& view) const;

  /// The last layer at which any per-layer point is wanted, and the last such point there; nothing at all: wants_layers false.
  bool wants_layers() const noexcept { return wants_layers_; }
  std::size_t last_layer() const noexcept { return last_layer_; }
  Point last_point() const noexcept { return last_point_; }

 private:
  struct Entry {
    Hook* hook;
    Hook::Access access;
  };
  const std::vector<Entry>& slot(Point point, std::size_t layer) const;

  std::vector<std::vector<Entry>> entries_;  // [n_layers * kNumPoints], final points in layer 0; empty without hooks
  bool wants_layers_ = false;
  std::size_t last_layer_ = 0;
  Point last_point_ = Point::residual_pre;
};

}  // namespace ffmem
