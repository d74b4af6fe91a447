// What kind of character a code point is, from one compact table.
//
// Source: ICU's character properties; for characters newer than ICU 72 the list in new_characters.cpp.
// The Unicode versions are those that `tokenizers` 0.23 uses for each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ffmem::tokenization {

/// Bits.
struct CharKind {
  static constexpr std::uint8_t letter = 1;        // general category L
  static constexpr std::uint8_t number = 2;        // general category N
  static constexpr std::uint8_t space = 4;         // property White_Space
  static constexpr std::uint8_t word = 8;          // Alphabetic, M, Nd, Pc or Join_Control: \w of Unicode's TR 18
  static constexpr std::uint8_t punctuation = 16;  // general category P in Unicode 8, and the ASCII symbols
};

/// The kinds of every code point. Immutable; one object for the program.
class CharTable {
 public:
  static const CharTable& get();

  std::uint8_t kinds(char32_t code) const noexcept {
    return code < kNumCodes ? blocks_[block_of_[code / kBlockSize] * kBlockSize + code % kBlockSize] : std::uint8_t{0};
  }
  bool is(char32_t code, std::uint8_t kind) const noexcept { return (kinds(code) & kind) != 0; }

 private:
  CharTable();

  static constexpr std::size_t kNumCodes = 0x110000;
  static constexpr std::size_t kBlockSize = 128;
  std::array<std::uint16_t, kNumCodes / kBlockSize> block_of_;
  std::vector<std::uint8_t> blocks_;
};

}  // namespace ffmem::tokenization
