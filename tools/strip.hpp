// A text without the white space around it.
#pragma once

#include <string_view>

namespace ffmem::tools {

/// `text` as Python's str.strip() leaves it: Unicode's White_Space and U+001C to U+001F go. Bytes that are no
/// UTF-8 are no white space.
std::string_view stripped_as_in_python(std::string_view text);

}  // namespace ffmem::tools
