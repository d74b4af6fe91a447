// Ragged batches of a corpus's sentences, packed in corpus order: each sentence on its own, as [prefix token] + its tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "loaders/tokenizer.hpp"
#include "tools/corpus.hpp"
#include "tools/trigger_info.hpp"

namespace ffmem::tools {

struct SentenceBatch {
  std::vector<TokenId> tokens;
  std::vector<std::size_t> offsets;     // [n_sequences + 1]
  std::vector<std::int64_t> sentences;  // [n_sequences]: numbers in the corpus

  // With this batch done:
  std::int64_t next_sentence = 0;
  TriggerCounts counts;
  std::uint64_t bytes_done = 0;  // of the corpus
};

/// The slots for batches of that many rows: sentences of fewer than 8 tokens on average would end a batch early.
constexpr std::size_t sequences_of(std::size_t batch_tokens) noexcept { return batch_tokens < 8 ? 1 : batch_tokens / 8; }

class SentenceBatches {
 public:
  struct Options {
    std::size_t max_tokens = 1024;  // rows of a batch, prefix tokens included; a longer sentence is a batch of its own
    std::size_t max_sequences = sequences_of(1024);
    std::int64_t first_sentence = 0;  // those before it were done earlier, and are in `counts`
    TriggerCounts counts;
    std::uint64_t enough_tokens = std::numeric_limits<std::uint64_t>::max();  // no sentence begins behind so many
  };
  /// `info` says how sentences are cut, limited and shared out.
  SentenceBatches(const std::vector<std::filesystem::path>& files, std::shared_ptr<const Tokenizer> tokenizer,
                  const TriggerInfo& info, const Options& options);

  /// False at the end of the corpus; then the batch is empty but its counts are the corpus's. Throws what SentenceReader
  /// throws.
  bool next(SentenceBatch& batch);

  /// Sentences of the corpus (of all shards) seen so far.
  std::int64_t n_seen() const noexcept { return reader_.next_index(); }

 private:
  bool read_sentence();

  SentenceReader reader_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  TriggerInfo info_;
  Options options_;
  TriggerCounts counts_;

  // The sentence that did not fit into the last batch.
  std::int64_t waiting_index_ = -1;
  std::vector<TokenId> waiting_;  // own tokens, cut
  bool waiting_is_cut_ = false;
};

/// Own tokens of a sentence as the search reads them: at most the context's, less the prefix token.
std::vector<TokenId> sentence_tokens(const Tokenizer& tokenizer, std::string_view sentence, const TriggerInfo& info,
                                     bool* is_cut = nullptr);

}  // namespace ffmem::tools
