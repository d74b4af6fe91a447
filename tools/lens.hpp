// The lenses (runtime/output_head.hpp) by the names they have on the command line and in files: "raw", "final-norm".
#pragma once

#include <string_view>

#include "runtime/output_head.hpp"

namespace ffmem::tools {

std::string_view lens_name(Lens lens) noexcept;

/// Throws argument_invalid for a name that is neither.
Lens lens_from_name(std::string_view name);

}  // namespace ffmem::tools
