#include "tools/continuation_text.hpp"

#include <algorithm>

#include "loaders/utf8.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

/// Length of what both begin with, in whole characters. Both are valid UTF-8.
std::size_t common_beginning(std::string_view a, std::string_view b) {
  std::size_t length = 0;
  while (length < a.size()) {
    const std::size_t end = length + utf8_at(a, length).length;
    if (a.substr(length, end - length) != b.substr(std::min(length, b.size()), end - length)) break;
    length = end;
  }
  return length;
}

}  // namespace

ContinuationText::ContinuationText(const Tokenizer& tokenizer, std::span<const TokenId> prompt)
    : tokenizer_(tokenizer), stream_(tokenizer.stream(Tokenizer::SpecialText::skip)) {
  for (const TokenId id : prompt) push_any(id);
  prompt_rest_ = rest();
}

std::string ContinuationText::push(TokenId id) { return without_prompt(push_any(id)); }

std::string ContinuationText::rest() const {
  const std::string held = tokenizer_.decode(tokens_, Tokenizer::SpecialText::skip).substr(n_released_);
  return held.substr(common_beginning(prompt_rest_, held));
}

std::string ContinuationText::finish() { return without_prompt(stream_->finish()); }

std::string ContinuationText::push_any(TokenId id) {
  if (!token_bytes(&tokenizer_, id)) return {};
  tokens_.push_back(id);
  std::string piece = stream_->push(id);
  n_released_ += piece.size();
  holds_ = piece.empty();
  return piece;
}

std::string ContinuationText::without_prompt(std::string piece) {
  const std::size_t length = common_beginning(prompt_rest_, piece);
  // Where the text differs from the prompt's, the rest is new: a character, say, that the prompt began.
  prompt_rest_.erase(0, length == piece.size() ? length : prompt_rest_.size());
  return piece.erase(0, length);
}

}  // namespace ffmem::tools
