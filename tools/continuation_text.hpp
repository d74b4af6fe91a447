// The text that new tokens add behind a prompt: the text of all tokens without that of the prompt's, as far as it still begins
// with it. A decoder may hold back text of the prompt until tokens behind it come.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/tokenizer.hpp"

namespace ffmem::tools {

/// Special tokens, and ids that the tokenizer has no token for (vocabularies are padded), add no text.
class ContinuationText {
 public:
  /// `tokenizer` must outlive it.
  ContinuationText(const Tokenizer& tokenizer, std::span<const TokenId> prompt);

  /// The next new token; returns the text that can no longer change. Never half a character.
  std::string push(TokenId id);

  /// Whether nothing came out with the last token: its text may be held back.
  bool holds() const noexcept { return holds_; }

  /// What is held back, should no more tokens come. Decodes all tokens.
  std::string rest() const;

  /// The same, at the end.
  std::string finish();

 private:
  std::string push_any(TokenId id);
  std::string without_prompt(std::string piece);

  const Tokenizer& tokenizer_;
  std::unique_ptr<Tokenizer::Stream> stream_;
  std::vector<TokenId> tokens_;  // the prompt's and the new ones
  std::size_t n_released_ = 0;   // bytes that the stream has given
  bool holds_ = false;
  std::string prompt_rest_;  // the prompt's text that it has not given yet
};

}  // namespace ffmem::tools
