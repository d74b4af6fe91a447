// The sampled sentence prefixes that sections 5.1 and 5.2 of the paper look at.
//
// A sentence of n tokens has the prefixes of 1 to n - 1 tokens: behind the whole sentence there is no next token. Sentences are
// cut as in the trigger search, to the same context. Either every prefix of the validation text is as likely as any other,
// without replacement, or (one_per_sentence, the authors' way) sentences are sampled and one prefix of each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

struct Example {
  std::size_t sentence = 0;  // index into ExampleSet::sentences
  std::size_t length = 0;    // own tokens of the prefix
};

struct ExampleSet {
  std::vector<TokenId> tokens{};          // of the sentences, end to end, own tokens without the prefix token
  std::vector<std::size_t> offsets{0};    // [sentences + 1]
  std::vector<std::int64_t> sentences{};  // their numbers in the corpus, ascending
  std::vector<Example> examples{};        // ascending by sentence, then by length
  std::uint64_t n_prefixes = 0;           // of the whole text
  std::uint64_t n_sentences = 0;          // of the whole text, with at least two tokens

  std::size_t size() const noexcept { return examples.size(); }
  std::span<const TokenId> prefix(std::size_t example) const;
  TokenId next(std::size_t example) const;  // the token behind the prefix
};

/// How the validation text is read: cut as the search cuts the training text, but all of it, also where ranks share the search.
/// Throws UsageError where none was given, and what make_trigger_job throws.
TriggerJob validation_job(const Workbench& bench);

/// Reads all of options().valid, so that what is wrong with it is said before hours of work. Throws what sample_examples
/// throws.
void check_validation_text(const Workbench& bench);

/// Up to n examples of options().valid, drawn by the seed and `purpose`. Reads the text twice. Throws corpus_empty where no
/// sentence has two tokens.
ExampleSet sample_examples(const Workbench& bench, std::size_t n, std::string_view purpose);

/// The prefixes as they stand in result files: `sentence` i64 [E], `prefix_offsets` i64 [E + 1], `prefix_tokens` i32, `next`
/// i32 [E]; metadata n_prefixes, n_sentences.
class StoredPrefixes {
 public:
  explicit StoredPrefixes(const ExampleSet& set);

  /// Views of this.
  std::vector<TensorToWrite> tensors() const;

  /// The file's metadata: `origin` and this one's own.
  Origin metadata(Origin origin) const;

  /// The examples of such a file. Their sentences end with the token behind the longest prefix. Throws what SafetensorsFile::at
  /// throws; store_invalid where the metadata is missing, or arrays are not as StoredPrefixes leaves them.
  static ExampleSet read(const SafetensorsFile& file, std::size_t vocab_size);

 private:
  std::vector<std::int64_t> sentence_;
  std::vector<std::int64_t> offsets_{0};
  std::vector<TokenId> tokens_;
  std::vector<TokenId> next_;
  Origin metadata_;
};

}  // namespace ffmem::tools
