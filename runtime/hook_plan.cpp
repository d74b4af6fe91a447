#include "runtime/hook_plan.hpp"

#include <algorithm>
#include <cassert>

#include "ops/error.hpp"

namespace ffmem {

void HookPlan::ask(std::span<Hook* const> hooks) {
  entries_.clear();
  std::ranges::fill(begins_, 0);
  wants_layers_ = false;
  if (hooks.empty()) return;
  if (std::ranges::find(hooks, nullptr) != hooks.end()) fail(ErrorCode::argument_invalid, "a run's hooks: found a null one");
  for (std::size_t slot = 0; slot + 1 < begins_.size(); ++slot) {
    const std::size_t layer = slot / kNumPoints;
    const Point point = kAllPoints[slot % kNumPoints];
    if (is_per_layer(point) || layer == 0) add_entries(hooks, point, layer);
    begins_[slot + 1] = entries_.size();
  }
}

void HookPlan::add_entries(std::span<Hook* const> hooks, Point point, std::size_t layer) {
  for (Hook* hook : hooks) {
    const Hook::Access access = hook->access(point, layer);
    if (access == Hook::Access::none) continue;
    entries_.push_back({hook, access});
    if (is_per_layer(point)) {
      wants_layers_ = true;
      last_layer_ = layer;
      last_point_ = point;
    }
  }
}

std::span<const HookPlan::Entry> HookPlan::slot(Point point, std::size_t layer) const {
  const std::size_t slot = layer * kNumPoints + static_cast<std::size_t>(point);
  assert(slot + 1 < begins_.size());
  return std::span(entries_).subspan(begins_[slot], begins_[slot + 1] - begins_[slot]);
}

void HookPlan::visit(const MutablePointView& view) const {
  const PointView reading{view.point, view.layer, view.first_row, view.values, view.origins, view.backend};
  for (const Entry& entry : slot(view.point, view.layer)) {
    if (entry.access == Hook::Access::write) {
      entry.hook->write(view);
    } else {
      entry.hook->read(reading);
    }
  }
}

}  // namespace ffmem
