// Walking over a regular expression, with errors that name the place.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ffmem::tokenization {

/// Views the expression (valid UTF-8) and `origin`, which starts the messages.
class RegexReader {
 public:
  RegexReader(std::string_view regex, const std::string& origin) : regex_(regex), origin_(origin) {}

  std::size_t at() const noexcept { return at_; }
  void go_to(std::size_t at) noexcept { at_ = at; }
  bool at_end() const noexcept { return at_ == regex_.size(); }
  std::string_view rest() const noexcept { return regex_.substr(at_); }
  bool next_is(std::string_view text) const noexcept { return rest().starts_with(text); }
  bool take(std::string_view text) noexcept;
  char32_t take_char();

  /// Digits up to the next other character, perhaps none.
  std::string take_digits();

  /// A character written as an escape, after the backslash.
  char32_t take_escaped_char();

  /// Throws tokenizer_invalid.
  [[noreturn]] void invalid(std::string_view expected) const;
  /// Throws tokenizer_unsupported.
  [[noreturn]] void unsupported(std::string_view what) const;

 private:
  char32_t take_hex(std::size_t least, std::size_t most, bool braced);

  std::string_view regex_;
  const std::string& origin_;
  std::size_t at_ = 0;
};

}  // namespace ffmem::tokenization
