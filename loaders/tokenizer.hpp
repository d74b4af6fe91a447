// Text to token ids and back, as Hugging Face `tokenizers` does it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/dtype.hpp"

namespace ffmem {

/// Immutable after loading; safe to share between threads.
class Tokenizer {
 public:
  /// From a folder that holds `tokenizer.json`, or `vocab.json` + `merges.txt` (GPT-2's byte-level BPE; another
  /// `tokenizer_class` is refused), or fairseq's `dict.txt` (words split at white space). The folder needs nothing else. Of the
  /// files beside a `tokenizer.json` only the tokens that they add or name count, as with Transformers'
  /// PreTrainedTokenizerFast: how a text is cut and what goes around it (add_prefix_space, add_bos_token) tokenizer.json alone
  /// says. Throws file_not_found (naming what was looked for), tokenizer_invalid (malformed, with the place in the file),
  /// tokenizer_unsupported (a component, by name, that this program does not implement), file_unreadable.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& folder);

  virtual ~Tokenizer() = default;

  enum class Special { none, add };  // what the file's post-processor puts around a text (BOS, ...)

  /// Any bytes are accepted: every maximal invalid part of the UTF-8 counts as U+FFFD. Text that looks like an added token is
  /// that token. Throws tokenizer_invalid where the vocabulary has neither a word nor the token for unknown ones,
  /// tokenizer_unsupported where the file's regular expressions or other steps would take or make too much of the text,
  /// argument_invalid for 2 GiB of text.
  virtual std::vector<TokenId> encode(std::string_view text, Special special = Special::none) const = 0;

  enum class SpecialText { keep, skip };  // whether special tokens show in the text

  /// Always valid UTF-8. Throws token_out_of_range for an id without a token, tokenizer_unsupported as encode() does.
  std::string decode(std::span<const TokenId> ids, SpecialText special = SpecialText::keep) const;

  /// One more than the largest id.
  virtual std::size_t vocab_size() const noexcept = 0;

  /// The token as the vocabulary file spells it ("Ġthe", "▁the", "<0x0A>"). Throws token_out_of_range.
  virtual std::string token(TokenId id) const = 0;

  /// The token of that spelling, as token() gives it; nothing if there is none.
  virtual std::optional<TokenId> find(std::string_view token) const = 0;

  /// Whether SpecialText::skip leaves this token out (BOS, EOS, ...). False for an id without a token.
  virtual bool is_special(TokenId id) const noexcept = 0;

  /// The bytes this token adds when it stands inside a text (" the", "\n", one byte of a character): for displays that show
  /// tokens one by one. Not always valid UTF-8. Throws as decode() does.
  virtual std::string token_bytes(TokenId id) const = 0;

  /// The beginning- and end-of-text tokens that tokenizer_config.json or special_tokens_map.json names (fairseq: by
  /// definition), if any.
  virtual std::optional<TokenId> bos() const noexcept = 0;
  virtual std::optional<TokenId> eos() const noexcept = 0;

  /// Decodes one token after another. What it returns, joined, is decode() of all ids; never half a character. The tokenizer
  /// must outlive it. One thread at a time. Both throw as decode() does.
  class Stream {
   public:
    virtual ~Stream() = default;
    virtual std::string push(TokenId id) = 0;
    virtual std::string finish() = 0;  // what was held back (an unfinished character becomes U+FFFD)
  };
  virtual std::unique_ptr<Stream> stream(SpecialText special = SpecialText::keep) const = 0;
};

}  // namespace ffmem
