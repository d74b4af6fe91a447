#include "loaders/tokenizer/vocabulary.hpp"

#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {

void Vocabulary::add(const std::string& token, std::size_t id, const std::string& origin) {
  if (id >= kMaxSize) {
    fail(ErrorCode::tokenizer_invalid, origin, ": token '", shown_text(token), "': expected an id below ", kMaxSize, ", found ",
         id);
  }
  if (id < tokens_.size() && tokens_[id] != nullptr && *tokens_[id] != token) {
    fail(ErrorCode::tokenizer_invalid, origin, ": id ", id, ": expected one token, found '", shown_text(*tokens_[id]),
         "' and '", shown_text(token), "'");
  }
  const auto [entry, is_new] = ids_.try_emplace(token, static_cast<TokenId>(id));
  if (!is_new && entry->second != static_cast<TokenId>(id)) {
    fail(ErrorCode::tokenizer_invalid, origin, ": token '", shown_text(token), "': expected one id, found ", entry->second,
         " and ", id);
  }
  if (id >= tokens_.size()) tokens_.resize(id + 1, nullptr);
  tokens_[id] = &entry->first;
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const auto entry = ids_.find(token);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

}  // namespace ffmem::tokenization
