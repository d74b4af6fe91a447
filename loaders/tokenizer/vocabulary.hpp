// Tokens by id and ids by token.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ops/dtype.hpp"

namespace ffmem::tokenization {

/// Filled while loading, then immutable. Ids may leave holes.
class Vocabulary {
 public:
  /// No file has more tokens: an id beyond is a mistake or an attack on memory.
  static constexpr std::size_t kMaxSize = std::size_t{1} << 24;

  /// Room for `n_tokens` tokens.
  explicit Vocabulary(std::size_t n_tokens = 0) { ids_.reserve(n_tokens); }
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  /// `origin` ("DIR/vocab.json") starts the messages. Throws tokenizer_invalid: an id of kMaxSize or more, an id given twice,
  /// a token given twice with different ids.
  void add(const std::string& token, std::size_t id, const std::string& origin);

  /// One more than the largest id.
  std::size_t size() const noexcept { return tokens_.size(); }

  /// Fewer where ids leave holes.
  std::size_t n_tokens() const noexcept { return ids_.size(); }

  /// Null for an id without token. Valid as long as nothing is added.
  const std::string* token(TokenId id) const noexcept {
    const auto index = static_cast<std::size_t>(id);
    return id >= 0 && index < tokens_.size() ? tokens_[index] : nullptr;
  }
  std::optional<TokenId> find(std::string_view token) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };

  std::unordered_map<std::string, TokenId, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> tokens_;  // the keys of ids_, which stay where they are when it is moved
};

}  // namespace ffmem::tokenization
