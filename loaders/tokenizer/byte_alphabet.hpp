// GPT-2's alphabet of 256 printable characters, one for each byte.
//
// Bytes 33-126, 161-172 and 174-255 stand for themselves; the other 68, in order, for U+0100, U+0101, ...: a space is "Ġ".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace ffmem::tokenization {

/// The character of each byte, as UTF-8.
const std::array<std::string, 256>& byte_alphabet();

/// `bytes` spelt in the alphabet.
void append_byte_alphabet(std::string& spelling, std::string_view bytes);

/// The bytes that a spelling (valid UTF-8) stands for; nothing if a character is not of the alphabet.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

}  // namespace ffmem::tokenization
