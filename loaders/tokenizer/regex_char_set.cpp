#include "loaders/tokenizer/regex_char_set.hpp"

#include <array>
#include <cstdio>

#include "loaders/tokenizer/new_characters.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {

bool is_ascii_alphanumeric(char32_t code) noexcept {
  return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

std::string regex_literal(char32_t code) {
  if (is_ascii_alphanumeric(code)) return {static_cast<char>(code)};
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "\\x{%x}", static_cast<unsigned>(code));
  return text.data();
}

void RegexCharSet::add(const RegexCharSet& other) {
  items += other.items;
  members.insert(members.end(), other.members.begin(), other.members.end());
}

std::string RegexCharSet::expression(bool complement) const {
  if (members.empty()) return (complement ? "[^" : "[") + items + "]";
  std::string any = items.empty() ? "" : "[" + items + "]";
  for (const std::string& member : members) any += (any.empty() ? "" : "|") + member;
  return complement ? "(?:(?!" + any + ")(?s:.))" : "(?:" + any + ")";
}

RegexCharSet space_set() {
  return {"\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}", {}};
}

RegexCharSet hex_digit_set() { return {"0-9a-fA-F", {}}; }

RegexCharSet word_set(bool in_class) {
  RegexCharSet set{in_class ? "\\p{Alphabetic}" : "\\p{Alphabetic}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}", {}};
  for (const std::string_view category : {"L", "M", "Nd", "Nl", "Pc"}) set.add(property_set(category));
  return set;
}

RegexCharSet property_set(std::string_view category) { return {concat("\\p{", category, "}", newer_characters(category)), {}}; }

}  // namespace ffmem::tokenization
