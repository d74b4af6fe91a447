#include "hooks/hook.hpp"

#include "ops/error.hpp"

namespace ffmem {

void Hook::read(const PointView& view) {
  fail(ErrorCode::argument_invalid, "a hook that asks to read ", name(view.point), " must have a read() of its own");
}

void Hook::write(const MutablePointView& view) {
  fail(ErrorCode::argument_invalid, "a hook that asks to write ", name(view.point), " must have a write() of its own");
}

}  // namespace ffmem
