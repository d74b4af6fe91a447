// Which keys and examples of a trigger store are exported.
#pragma once

#include <cstddef>

#include "tools/options.hpp"

namespace ffmem::tools {

struct ExportSelection {
  IndexRange layers;
  IndexRange units;     // of each layer
  std::size_t top = 0;  // examples of a key at most, the best

  std::size_t n_keys() const noexcept { return (layers.end - layers.begin) * (units.end - units.begin); }
};

}  // namespace ffmem::tools
