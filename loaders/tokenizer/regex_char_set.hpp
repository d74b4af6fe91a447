// Sets of characters in PCRE2's spelling.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tokenization {

/// One character, the same in and out of a class.
std::string regex_literal(char32_t code);

bool is_ascii_alphanumeric(char32_t code) noexcept;

/// The union of class items and of other sets. A complement is no class item where a set is made of several, hence the second
/// part.
struct RegexCharSet {
  std::string items;                 // what stands between [ and ]
  std::vector<std::string> members;  // expressions for one character each

  void add(const RegexCharSet& other);

  /// As an expression for one character.
  std::string expression(bool complement) const;
};

/// What Oniguruma means by \s, \h and \w. Outside of classes it counts Latin-1's digits and fractions among the word
/// characters.
RegexCharSet space_set();
RegexCharSet hex_digit_set();
RegexCharSet word_set(bool in_class);

/// A general category ("Lu") of Unicode 16.
RegexCharSet property_set(std::string_view category);

}  // namespace ffmem::tokenization
