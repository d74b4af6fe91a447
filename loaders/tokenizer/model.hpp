// The last step of encoding: from pieces of text to ids.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "loaders/tokenizer/pair_ranks.hpp"
#include "loaders/tokenizer/vocabulary.hpp"
#include "loaders/tokenizer/workspace.hpp"
#include "ops/dtype.hpp"

namespace ffmem::tokenization {

/// Immutable; safe to use from several threads, each with its own workspace.
class Model {
 public:
  virtual ~Model() = default;

  /// Appends the ids of one piece. Throws tokenizer_invalid where the vocabulary lacks the token for unknown text.
  virtual void encode(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const = 0;
};

/// A word is a token, or the unknown one.
class WordLevel final : public Model {
 public:
  WordLevel(std::shared_ptr<const Vocabulary> vocabulary, const std::string& unknown_token, std::string origin);
  void encode(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const override;

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::optional<TokenId> unknown_;
  std::string origin_;
};

struct BpeOptions {
  std::optional<std::string> unknown_token;  // none: unknown characters vanish
  bool fuse_unknown = false;                 // neighbouring unknown characters are one unknown token
  bool byte_fallback = false;                // unknown characters become the tokens <0x00> to <0xFF> of their bytes
  bool ignore_merges = false;                // a piece that is a token is taken whole
};

/// Byte-pair encoding: of all neighbouring pairs merge the one that comes first in the list of merges, of equal ones the
/// leftmost, until none is left. Source: Sennrich et al. 2016; details as in `tokenizers`.
class Bpe final : public Model {
 public:
  struct Merge {
    TokenId left, right, merged;
  };
  enum class Input {
    characters,  // pieces are spelt as the vocabulary spells
    bytes,       // pieces are raw bytes, the vocabulary is spelt in GPT-2's byte alphabet, which it has whole
  };

  Bpe(std::shared_ptr<const Vocabulary> vocabulary, const std::vector<Merge>& merges, BpeOptions options, Input input,
      std::string origin);
  void encode(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const override;

  /// Whether Input::bytes is possible.
  static bool has_byte_alphabet(const Vocabulary& vocabulary);

 private:
  void index_characters();
  void index_bytes();
  void index_crossings(const std::vector<Merge>& merges);
  std::optional<TokenId> whole_token(std::string_view piece) const;
  void encode_stretches(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const;
  void encode_short(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const;
  void encode_uncached(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const;
  void split_into_symbols(std::string_view piece, std::vector<TokenId>& symbols) const;
  bool append_byte_tokens(std::string_view character, std::vector<TokenId>& symbols) const;
  TokenId unknown_token(std::string_view character) const;
  TokenId symbol_of(char32_t code) const noexcept {
    return code < character_symbols_.size() ? character_symbols_[code] : TokenId{-1};
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  BpeOptions options_;
  Input input_;
  std::string origin_;
  PairRanks ranks_;                                        // of a pair of ids: its place in the list of merges
  std::vector<TokenId> merged_;                            // by rank
  std::array<TokenId, 256> byte_symbols_;                  // Input::bytes: by byte; else the tokens <0x..>; -1: none
  std::vector<TokenId> character_symbols_;                 // by code point, -1: none
  PairRanks crossings_;                                    // pairs of characters between which some merge can happen
  std::unordered_map<std::string, TokenId> whole_tokens_;  // ignore_merges with Input::bytes: by raw bytes
};

}  // namespace ffmem::tokenization
