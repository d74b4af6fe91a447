// What a search costs is measured against a pass that hands out the same coefficients to nobody.
#pragma once

#include "hooks/hook.hpp"

namespace ffmem::tools {

/// Asks for every layer's coefficients, as a search does, and looks at none of them.
class BlindHook : public Hook {
 public:
  Access access(Point point, std::size_t) const override { return point == Point::coefficients ? Access::read : Access::none; }
  void read(const PointView&) override {}
};

}  // namespace ffmem::tools
