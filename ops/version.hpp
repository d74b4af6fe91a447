// Which library a program runs with.
#pragma once

#include <string_view>

namespace ffmem {

/// "0.1.0"; of a shared library its own, not that of the headers a program was built with.
std::string_view version() noexcept;

}  // namespace ffmem
