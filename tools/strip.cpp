#include "tools/strip.hpp"

#include <unicode/uchar.h>

#include "loaders/utf8.hpp"

namespace ffmem::tools {
namespace {

/// Length of the white space that starts at text[at]; 0 if what starts there is none.
std::size_t space_at(std::string_view text, std::size_t at) {
  const Utf8Step step = utf8_step(text, at);
  if (step.kind != Utf8Step::Kind::valid) return 0;
  const char32_t code = utf8_at(text, at).code;
  const bool is_space = (code >= 0x1C && code <= 0x1F) || u_isUWhiteSpace(static_cast<UChar32>(code)) != 0;
  return is_space ? step.length : 0;
}

/// Where the last character starts, if the text ends in one; not empty.
std::size_t last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace

std::string_view stripped_as_in_python(std::string_view text) {
  while (!text.empty() && space_at(text, 0) > 0) text.remove_prefix(space_at(text, 0));
  while (!text.empty()) {
    const std::size_t last = last_character(text);
    if (space_at(text, last) != text.size() - last) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace ffmem::tools
