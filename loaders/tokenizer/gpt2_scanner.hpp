// GPT-2's pre-tokenizer pattern, written out by hand.
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Every position of every text starts a match, so the matches cover the text. Source: encoder.py of OpenAI's GPT-2.
#pragma once

#include <cstddef>
#include <string_view>

#include "loaders/tokenizer/characters.hpp"

namespace ffmem::tokenization {

class Gpt2Scanner {
 public:
  /// Views the text, which must be valid UTF-8.
  explicit Gpt2Scanner(std::string_view text) : text_(text), table_(CharTable::get()) {}

  bool done() const noexcept { return at_ == text_.size(); }

  /// The next match, never empty. Only if not done().
  std::string_view next() noexcept;

 private:
  struct Look {
    std::uint8_t kind;   // letter, number, space, or 0 for any other
    std::size_t length;  // bytes
  };
  Look look(std::size_t at) const noexcept;
  std::size_t contraction() const noexcept;
  std::size_t run_end(std::size_t at, std::uint8_t kind) const noexcept;
  std::size_t space_run_end() const noexcept;

  std::string_view text_;
  const CharTable& table_;
  std::size_t at_ = 0;
};

}  // namespace ffmem::tokenization
