#include "hooks/hook.hpp"

namespace ffmem {

void Hook::read(const PointView& /*view*/) {}

void Hook::write(const MutablePointView& /*view*/) {}

}  // namespace ffmem
