// The trigger store: one safetensors file with every key's best sentence prefixes, the sentences they name and the vocabulary's
// texts, so that it is read without the model.
//
// | tensor            | type | shape       | what                                                                       |
// |-------------------|------|-------------|----------------------------------------------------------------------------|
// | coefficient       | f32  | [L, d_m, t] | best first (hooks/top_triggers.hpp); 0 where a key has fewer examples      |
// | sentence          | i64  | [L, d_m, t] | number of the sentence in the corpus, or -1                                |
// | position          | i32  | [L, d_m, t] | of the last token read, within the sentence's own tokens, or -1            |
// | sentence_index    | i64  | [n]         | every sentence named above, ascending                                      |
// | sentence_offsets  | i64  | [n + 1]     | sentence i's tokens are sentence_tokens[offsets[i] .. offsets[i + 1])      |
// | sentence_tokens   | i32  | [offsets n] | own tokens, without the prefix token, cut to the context                   |
// | vocabulary_offsets| i64  | [V + 1]     | token j's bytes are vocabulary_bytes[offsets[j] .. offsets[j + 1])         |
// | vocabulary_bytes  | u8   | [...]       | Tokenizer::token_bytes of every id                                         |
//
// Metadata: format "ffmem-triggers", tools/trigger_info.hpp's, and n_keys_never_fired.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hooks/top_triggers.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/tokenizer.hpp"
#include "tools/trigger_info.hpp"

namespace ffmem::tools {

/// The texts of all ids below n, one behind the other; those that the tokenizer does not have are empty.
struct Vocabulary {
  std::vector<std::int64_t> offsets;  // [n + 1]
  std::string bytes;

  Vocabulary() = default;
  Vocabulary(const Tokenizer& tokenizer, std::size_t n);
};

/// The sentences a table names, and a way to walk their tokens, which need not be in memory together.
struct NamedSentences {
  using Sink = std::function<void(std::span<const TokenId>)>;
  std::vector<std::int64_t> index;
  std::vector<std::int64_t> offsets;
  std::function<void(const Sink& append)> walk;  // calls append with the tokens of each, in order
};

/// Every sentence the table names, ascending.
std::vector<std::int64_t> named_sentences(const TriggerTable& table);

/// Keys with fewer than n of the table's t examples, 1 <= n <= t; fewer than 1: those that never fired.
std::size_t keys_with_fewer_than(std::size_t n, const TriggerTable& table);

/// Writes the file, whole or not at all. Throws file_unwritable; argument_invalid if walk() gives other than what offsets say.
void write_trigger_store(const std::filesystem::path& path, const TriggerTable& table, const TriggerInfo& info,
                         const NamedSentences& sentences, const Vocabulary& vocabulary);

/// A copy of the three arrays of a store or a checkpoint of a search for the largest or the smallest coefficients. Throws
/// store_invalid, naming key and place, for a list that is not in order or not of what such a search leaves.
TriggerTable read_trigger_table(const SafetensorsFile& file, bool smallest);

/// A store opened for reading. The views that it gives live as long as it does.
class TriggerStore {
 public:
  /// Throws what SafetensorsFile throws; tensor_missing, tensor_dtype, store_invalid where the file is not a trigger store or
  /// its parts do not fit each other.
  explicit TriggerStore(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return file_.path(); }
  const TriggerInfo& info() const noexcept { return info_; }
  std::size_t n_layers() const noexcept { return n_layers_; }
  std::size_t d_memory() const noexcept { return d_memory_; }
  std::size_t top() const noexcept { return top_; }
  std::size_t n_keys_never_fired() const noexcept { return n_keys_never_fired_; }

  struct Example {
    float coefficient = 0.0F;
    std::int64_t sentence = 0;        // its number in the corpus
    std::span<const TokenId> prefix;  // the sentence's tokens up to the trigger token, which is the last of them
    std::span<const TokenId> tokens;  // the sentence, as far as the model's context reached
    std::optional<TokenId> next;      // the token behind the prefix; none where the prefix is all of them
  };

  /// The at most `max` best examples of a key, best first. Throws layer_out_of_range, unit_out_of_range, store_invalid.
  std::vector<Example> examples(std::size_t layer, std::size_t unit, std::size_t max = static_cast<std::size_t>(-1)) const;

  /// How many examples a key has. Throws layer_out_of_range, unit_out_of_range; store_invalid as read_trigger_table.
  std::size_t n_examples(std::size_t layer, std::size_t unit) const;

  /// The i-th best of them, i < n_examples(layer, unit). Throws as examples().
  Example example(std::size_t layer, std::size_t unit, std::size_t i) const;

  /// The own tokens of a sentence that some key names. Throws store_invalid for another, and for a token beyond the vocabulary.
  std::span<const TokenId> sentence_tokens(std::int64_t sentence) const;

  std::size_t vocab_size() const noexcept { return vocabulary_offsets_.size() - 1; }

  /// What a token adds to a text; not always UTF-8 (tools/token_text.hpp makes it printable). Empty for an id beyond the
  /// vocabulary.
  std::string_view token_bytes(TokenId id) const noexcept;

  /// What an example's prefix says before its trigger token: of the last `max_tokens` where there are more, behind "… ".
  std::string text_before_trigger(const Example& example, std::size_t max_tokens) const;

  /// What tokens say, one behind the other.
  std::string bytes(std::span<const TokenId> tokens) const;

  Vocabulary vocabulary() const;

  TriggerTable table() const { return read_trigger_table(file_, info_.smallest); }

 private:
  std::size_t first_place(std::size_t layer, std::size_t unit) const;
  void check_offsets(std::string_view name, std::span<const std::int64_t> offsets, std::size_t n_elements) const;

  SafetensorsFile file_;
  TriggerInfo info_;
  std::size_t n_layers_ = 0;
  std::size_t d_memory_ = 0;
  std::size_t top_ = 0;
  std::size_t n_keys_never_fired_ = 0;
  std::span<const float> coefficient_;
  std::span<const std::int64_t> sentence_;
  std::span<const std::int32_t> position_;
  std::span<const std::int64_t> sentence_index_;
  std::span<const std::int64_t> sentence_offsets_;
  std::span<const TokenId> sentence_tokens_;
  std::span<const std::int64_t> vocabulary_offsets_;
  std::span<const std::uint8_t> vocabulary_bytes_;
};

}  // namespace ffmem::tools
