// The tokenizer that tokenizer.json describes: added tokens, normalisers, pre-tokenizers, a model, what is put around the ids,
// a decoder. GPT-2's vocab.json + merges.txt make one, too.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "loaders/tokenizer.hpp"
#include "loaders/tokenizer/added_tokens.hpp"
#include "loaders/tokenizer/decoder.hpp"
#include "loaders/tokenizer/model.hpp"
#include "loaders/tokenizer/normalizer.hpp"
#include "loaders/tokenizer/pre_tokenizer.hpp"
#include "loaders/tokenizer/text_budget.hpp"
#include "loaders/tokenizer/vocabulary.hpp"

namespace ffmem::tokenization {

/// What a file says, ready to be put together.
struct PipelineParts {
  std::string origin;                            // the file, for messages
  std::shared_ptr<const Vocabulary> vocabulary;  // the model's
  std::vector<AddedToken> added_tokens;
  Normalizers normalizers;
  PreTokenizerChain pre_tokenizers;
  std::unique_ptr<const Model> model;
  std::vector<TokenId> prefix, suffix;  // around a text, with Special::add
  DecoderSteps decoder;
  std::optional<std::string> bos_token, eos_token;
};

class PipelineTokenizer final : public Tokenizer {
 public:
  /// An added token keeps the file's id, also one that leaves a hole behind the vocabulary. A special token that reads
  /// otherwise once normalised is decoded, and left out, as `tokenizers` 0.23 does it. Throws tokenizer_invalid where added
  /// tokens contradict each other or the vocabulary, tokenizer_unsupported where one is empty after normalisation or longer
  /// than 1,024 bytes.
  explicit PipelineTokenizer(PipelineParts parts);

  std::vector<TokenId> encode(std::string_view text, Special special) const override;
  std::size_t vocab_size() const noexcept override { return tokens_->size(); }
  std::string token(TokenId id) const override;
  std::optional<TokenId> find(std::string_view token) const override { return tokens_->find(token); }
  bool is_special(TokenId id) const noexcept override;
  std::string token_bytes(TokenId id) const override;
  std::optional<TokenId> bos() const noexcept override { return bos_; }
  std::optional<TokenId> eos() const noexcept override { return eos_; }
  std::unique_ptr<Stream> stream(SpecialText special) const override;

 private:
  class DecodingStream;

  void add_tokens();
  /// Of one text: what encoding it fills and uses up.
  struct Encoding {
    std::vector<TokenId>& ids;
    Workspace& workspace;
    TextBudget budget;
  };
  void encode_section(std::string_view section, bool at_start, Encoding& encoding) const;
  void encode_normalized(std::string_view text, bool at_start, Encoding& encoding) const;
  const std::string& known_token(TokenId id) const;
  const std::string& decoded_token(TokenId id) const;

  PipelineParts parts_;
  std::shared_ptr<const Vocabulary> tokens_;  // the model's and the added ones
  std::vector<bool> is_special_;              // by id
  AddedTokenFinder raw_finder_, normalized_finder_;
  std::unordered_map<TokenId, std::string> normalized_;  // added tokens that are decoded in another form than their own
  std::optional<TokenId> bos_, eos_;
  mutable WorkspacePool workspaces_;
};

}  // namespace ffmem::tokenization
