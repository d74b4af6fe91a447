#include "runtime/weight_mode.hpp"

namespace ffmem {

WeightFormat layer_format(WeightMode mode) noexcept {
  switch (mode) {
    case WeightMode::bf16:
      return WeightFormat::bf16;
    case WeightMode::int8:
      return WeightFormat::int8;
    case WeightMode::int4:
      return WeightFormat::int4;
    case WeightMode::f32:
      break;
  }
  return WeightFormat::f32;
}

WeightFormat head_format(WeightMode mode) noexcept {
  return mode == WeightMode::int4 ? WeightFormat::int8 : layer_format(mode);
}

std::string_view name(WeightMode mode) noexcept {
  switch (mode) {
    case WeightMode::bf16:
      return "bf16";
    case WeightMode::int8:
      return "int8";
    case WeightMode::int4:
      return "int4";
    case WeightMode::f32:
      break;
  }
  return "f32";
}

}  // namespace ffmem
