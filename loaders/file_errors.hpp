// Words for what the operating system refused.
#pragma once

#include <string>
#include <system_error>

namespace ffmem {

/// The system's sentence for an errno value ("No space left on device").
inline std::string system_text(int error_number) { return std::generic_category().message(error_number); }

}  // namespace ffmem
