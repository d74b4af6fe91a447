#include "loaders/tokenizer/regex_reader.hpp"

#include "loaders/tokenizer/regex_char_set.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool RegexReader::take(std::string_view text) noexcept {
  if (!next_is(text)) return false;
  at_ += text.size();
  return true;
}

char32_t RegexReader::take_char() {
  if (at_end()) invalid("more after the last character");
  const Utf8Char c = utf8_at(regex_, at_);
  at_ += c.length;
  return c.code;
}

std::string RegexReader::take_digits() {
  const std::size_t begin = at_;
  while (!at_end() && regex_[at_] >= '0' && regex_[at_] <= '9') ++at_;
  return std::string(regex_.substr(begin, at_ - begin));
}

char32_t RegexReader::take_escaped_char() {
  const char32_t c = take_char();
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case 'a':
      return '\a';
    case 'e':
      return 0x1B;
    case 'x':
      return take("{") ? take_hex(1, 8, true) : take_hex(1, 2, false);
    case 'u':
      return take_hex(4, 4, false);
    default:
      break;
  }
  if (is_ascii_alphanumeric(c)) unsupported(concat("'\\", static_cast<char>(c), "'"));
  return c;
}

char32_t RegexReader::take_hex(std::size_t least, std::size_t most, bool braced) {
  char32_t code = 0;
  std::size_t n_digits = 0;
  while (n_digits < most && !at_end() && hex_value(regex_[at_]) >= 0) {
    code = code << 4 | static_cast<char32_t>(hex_value(regex_[at_++]));
    ++n_digits;
  }
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  if (n_digits < least || code > 0x10FFFF || is_surrogate || (braced && !take("}"))) invalid("a code point in hexadecimal");
  if (most == 2 && code > 0x7F) unsupported("bytes above 7F");
  return code;
}

void RegexReader::invalid(std::string_view expected) const {
  fail(ErrorCode::tokenizer_invalid, origin_, ": regular expression ", shown_text(regex_), ": at byte ", at_, ": expected ",
       expected);
}

void RegexReader::unsupported(std::string_view what) const {
  fail(ErrorCode::tokenizer_unsupported, origin_, ": regular expression ", shown_text(regex_), ": at byte ", at_,
       ": this program does not implement ", what);
}

}  // namespace ffmem::tokenization
