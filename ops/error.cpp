#include "ops/error.hpp"

#include <string_view>

namespace ffmem {
namespace {

constexpr std::size_t kLongest = 4000;
constexpr std::size_t kFirst = 3000;
constexpr std::size_t kLast = 500;

/// Whether a byte is one of a character that spans several, but not its first.
bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

std::string shortened(std::string_view text) {
  if (text.size() <= kLongest) return std::string(text);
  std::size_t end = kFirst;
  std::size_t begin = text.size() - kLast;
  while (end > 0 && continues(text[end])) --end;
  while (begin < text.size() && continues(text[begin])) ++begin;
  return concat(text.substr(0, end), " ... ", text.substr(begin));
}

std::string printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    // The second block of control characters, U+0080 to U+009F, is C2 80 to C2 9F in UTF-8.
    const bool second_block = text[i] == '\xC2' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    const auto byte = static_cast<unsigned char>(second_block ? text[++i] : text[i]);
    if (second_block || byte < 0x20 || byte == 0x7F) {
      out.append("\\x").append(1, kDigits[byte >> 4U]).append(1, kDigits[byte & 15U]);
    } else {
      out += static_cast<char>(byte);
    }
  }
  return out;
}

}  // namespace

Error::Error(ErrorCode code, const std::string& message) : std::runtime_error(printable(shortened(message))), code_(code) {}

}  // namespace ffmem
