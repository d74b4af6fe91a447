#include "runtime/hook_plan.hpp"

namespace ffmem {

HookPlan::HookPlan(std::span<Hook* const> hooks, std::size_t n_layers) {
  if (hooks.empty()) return;
  entries_.resize(n_layers * kNumPoints);
  for (std::size_t layer = 0; layer < n_layers; ++layer) {
    for (const Point point : kAllPoints) {
      if (!is_per_layer(point) && layer > 0) continue;
      for (Hook* hook : hooks) {
        const Hook::Access access = hook->access(point, layer);
        if (access == Hook::Access::none) continue;
        entries_[layer * kNumPoints + static_cast<std::size_t>(point)].push_back({hook, access});
        if (is_per_layer(point)) {
          wants_layers_ = true;
          last_layer_ = layer;
          last_point_ = point;
        }
      }
    }
  }
}

const std::vector<HookPlan::Entry>& HookPlan::slot(Point point, std::size_t layer) const {
  static const std::vector<Entry> none;
  if (entries_.empty()) return none;
  assert(layer * kNumPoints < entries_.size());
  return entries_[layer * kNumPoints + static_cast<std::size_t>(point)];
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
