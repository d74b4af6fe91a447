#include "tools/strip.hpp"

#include <unicode/uchar.h>

#include "loaders/utf8.hpp"

namespace ffmem::tools {
namespace {

bool is_space(std::string_view text, std::size_t at) {
  const char32_t code = utf8_at(text, at).code;
  return (code >= 0x1C && code <= 0x1F) || u_isUWhiteSpace(static_cast<UChar32>(code)) != 0;
}

}  // namespace

std::string_view stripped_as_in_python(std::string_view text) {
  while (!text.empty() && is_space(text, 0)) text.remove_prefix(utf8_at(text, 0).length);
  while (!text.empty() && is_space(text, utf8_before(text, text.size()))) text = text.substr(0, utf8_before(text, text.size()));
  return text;
}

}  // namespace ffmem::tools
