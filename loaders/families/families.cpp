#include <array>

#include "loaders/families/family.hpp"

namespace ffmem {

std::span<const Family* const> families() {
  static constexpr std::array kFamilies{&kGpt2};
  return kFamilies;
}

}  // namespace ffmem
