#include "tools/json_text.hpp"

#include <fmt/format.h>

#include "loaders/utf8.hpp"

namespace ffmem::tools {
namespace {

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
        out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      } else {
        out += c;
      }
  }
}

template <class T>
Json number_json(T number) {
  return {std::isfinite(number) ? fmt::format("{}", number) : "null"};
}

}  // namespace

Json to_json(std::string_view text) {
  std::string out = "\"";
  const auto append = [&](std::string_view valid) {
    for (const char c : valid) append_escaped(out, c);
  };
  if (valid_utf8_prefix(text) == text.size()) {
    append(text);
  } else {
    append(repair_utf8(text));
  }
  return {out + "\""};
}

Json to_json(double number) { return number_json(number); }

Json to_json(float number) { return number_json(number); }

}  // namespace ffmem::tools
