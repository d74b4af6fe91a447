#include "ops/version.hpp"

namespace ffmem {

std::string_view version() noexcept { return FFMEM_VERSION; }

}  // namespace ffmem
