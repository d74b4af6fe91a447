// A text without the white space around it.
#pragma once

#include <string_view>

namespace ffmem::tools {

/// `text` (valid UTF-8) as Python's str.strip() leaves it: Unicode's White_Space and U+001C to U+001F go.
std::string_view stripped_as_in_python(std::string_view text);

}  // namespace ffmem::tools
