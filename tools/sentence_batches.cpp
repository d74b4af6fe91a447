#include "tools/sentence_batches.hpp"

#include <algorithm>
#include <utility>

namespace ffmem::tools {

std::vector<TokenId> sentence_tokens(const Tokenizer& tokenizer, std::string_view sentence, const TriggerInfo& info,
                                     bool* is_cut) {
  std::vector<TokenId> tokens = tokenizer.encode(sentence);
  const std::size_t room = info.context - (info.prefix_token ? 1 : 0);
  if (is_cut != nullptr) *is_cut = tokens.size() > room;
  if (tokens.size() > room) tokens.resize(room);
  return tokens;
}

SentenceBatches::SentenceBatches(const std::vector<std::filesystem::path>& files, std::shared_ptr<const Tokenizer> tokenizer,
                                 const TriggerInfo& info, const Options& options)
    : reader_(files, info.sentences),
      tokenizer_(std::move(tokenizer)),
      info_(info),
      options_(options),
      counts_(options.counts) {
  while (reader_.next_index() < options_.first_sentence && reader_.next()) continue;
}

/// Makes the next sentence of this shard the waiting one; false where there is none.
bool SentenceBatches::read_sentence() {
  if (counts_.n_tokens >= options_.enough_tokens) return false;
  const auto n_shards = static_cast<std::int64_t>(info_.shards.n);
  for (;;) {
    const std::int64_t index = reader_.next_index();
    if (info_.max_sentences && index >= *info_.max_sentences) return false;
    const auto sentence = reader_.next();
    if (!sentence) return false;
    if (!std::ranges::binary_search(info_.shards.parts, static_cast<std::size_t>(index % n_shards))) continue;
    waiting_ = sentence_tokens(*tokenizer_, *sentence, info_, &waiting_is_cut_);
    waiting_index_ = index;
    return true;
  }
}

bool SentenceBatches::next(SentenceBatch& batch) {
  const std::size_t n_prefix = info_.prefix_token ? 1 : 0;
  batch.tokens.clear();
  batch.offsets.assign(1, 0);
  batch.sentences.clear();
  while (waiting_index_ >= 0 || read_sentence()) {
    const std::size_t rows = n_prefix + waiting_.size();
    const bool fits = batch.tokens.size() + rows <= options_.max_tokens && batch.sentences.size() < options_.max_sequences;
    if (!fits && !batch.sentences.empty()) break;
    if (!waiting_.empty()) {  // else a sentence of which the tokenizer leaves nothing: counted, not run
      if (info_.prefix_token) batch.tokens.push_back(*info_.prefix_token);
      batch.tokens.insert(batch.tokens.end(), waiting_.begin(), waiting_.end());
      batch.offsets.push_back(batch.tokens.size());
      batch.sentences.push_back(waiting_index_);
    }
    counts_.n_sentences += 1;
    counts_.n_tokens += waiting_.size();
    counts_.n_cut += waiting_is_cut_ ? 1 : 0;
    waiting_index_ = -1;
  }
  batch.next_sentence = waiting_index_ >= 0 ? waiting_index_ : reader_.next_index();
  batch.counts = counts_;
  batch.bytes_done = reader_.bytes_done();
  return !batch.sentences.empty();
}

}  // namespace ffmem::tools
