#include "loaders/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace ffmem {
namespace {

/// What may follow a lead byte: the number of bytes and the range of the second one.
struct Lead {
  std::size_t length;  // 0: not a lead byte
  unsigned char second_min, second_max;
};

Lead lead_of(unsigned char byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

Utf8Step utf8_step(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t left = text.size() - at;
  const Lead lead = lead_of(byte(0));
  if (lead.length == 0) return {Utf8Step::Kind::invalid, 1};
  if (lead.length == 1) return {Utf8Step::Kind::valid, 1};
  if (left == 1) return {Utf8Step::Kind::truncated, 1};
  if (byte(1) < lead.second_min || byte(1) > lead.second_max) return {Utf8Step::Kind::invalid, 1};
  for (std::size_t i = 2; i < lead.length; ++i) {
    if (i == left) return {Utf8Step::Kind::truncated, i};
    if ((byte(i) & 0xC0) != 0x80) return {Utf8Step::Kind::invalid, i};
  }
  return {Utf8Step::Kind::valid, lead.length};
}

std::size_t valid_utf8_prefix(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t word = 0;
    if (text.size() - at >= sizeof word) {
      std::memcpy(&word, text.data() + at, sizeof word);
      if ((word & 0x8080808080808080U) == 0) {
        at += sizeof word;
        continue;
      }
    }
    const Utf8Step step = utf8_step(text, at);
    if (step.kind != Utf8Step::Kind::valid) break;
    at += step.length;
  }
  return at;
}

std::string repair_utf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size() + 16);
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    repaired += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) break;
    repaired += kReplacementCharacter;
    text.remove_prefix(utf8_step(text, 0).length);
  }
  return repaired;
}

std::string shown_text(std::string_view text, std::size_t most_bytes) {
  const std::string shown = repair_utf8(text.substr(0, most_bytes));
  return text.size() > most_bytes ? shown + "..." : shown;
}

}  // namespace ffmem
