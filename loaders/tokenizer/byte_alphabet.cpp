#include "loaders/tokenizer/byte_alphabet.hpp"

#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

constexpr char32_t kLargestCode = 0x143;  // 0x100 + 68 - 1

bool stands_for_itself(char32_t byte) noexcept {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

std::array<char32_t, 256> codes_of_bytes() {
  std::array<char32_t, 256> codes{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) codes[byte] = stands_for_itself(byte) ? byte : next++;
  return codes;
}

/// The byte of each code point up to kLargestCode, -1 for none.
const std::array<int, kLargestCode + 1>& bytes_of_codes() {
  static const auto table = [] {
    std::array<int, kLargestCode + 1> bytes{};
    bytes.fill(-1);
    const auto codes = codes_of_bytes();
    for (std::size_t byte = 0; byte < 256; ++byte) bytes[codes[byte]] = static_cast<int>(byte);
    return bytes;
  }();
  return table;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const auto table = [] {
    std::array<std::string, 256> characters;
    const auto codes = codes_of_bytes();
    for (std::size_t byte = 0; byte < 256; ++byte) append_utf8(characters[byte], codes[byte]);
    return characters;
  }();
  return table;
}

void append_byte_alphabet(std::string& spelling, std::string_view bytes) {
  const auto& alphabet = byte_alphabet();
  for (const char byte : bytes) spelling += alphabet[static_cast<unsigned char>(byte)];
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  const auto& table = bytes_of_codes();
  std::string bytes;
  for (std::size_t at = 0; at < spelling.size();) {
    const Utf8Char c = utf8_at(spelling, at);
    if (c.code > kLargestCode || table[c.code] < 0) return std::nullopt;
    bytes += static_cast<char>(static_cast<unsigned char>(table[c.code]));
    at += c.length;
  }
  return bytes;
}

}  // namespace ffmem::tokenization
