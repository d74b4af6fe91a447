// UTF-8: one character at a time, and the repair of text that is not valid.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ffmem {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";         // U+FEFF at a text's start

struct Utf8Char {
  char32_t code = 0;
  std::size_t length = 0;  // bytes, 1 to 4
};

/// The character that starts at text[at]. The text must be valid and `at` the first byte of a character.
inline Utf8Char utf8_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

/// Where the character before `end` (> 0) starts, in valid text.
inline std::size_t utf8_before(std::string_view text, std::size_t end) noexcept {
  do {
    --end;
  } while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

void append_utf8(std::string& text, char32_t code);

/// One step through bytes that may be anything.
struct Utf8Step {
  enum class Kind {
    valid,      // a whole character
    invalid,    // a maximal invalid part (Unicode 15, chapter 3.9): counts as one U+FFFD
    truncated,  // the text ends inside a character that is valid so far
  };
  Kind kind;
  std::size_t length;
};
Utf8Step utf8_step(std::string_view text, std::size_t at) noexcept;

/// Bytes before the first that does not belong to a valid character.
std::size_t valid_utf8_prefix(std::string_view text) noexcept;

/// Every maximal invalid part becomes U+FFFD, as with Python's errors="replace".
std::string repair_utf8(std::string_view text);

/// A text from a file for the message of an Error: valid UTF-8, and of more than `most_bytes` the first ones and "...".
std::string shown_text(std::string_view text, std::size_t most_bytes = 120);

}  // namespace ffmem
