#include "tools/experiments/example_set.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "ops/error.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/metadata_fields.hpp"
#include "tools/sentence_batches.hpp"

namespace ffmem::tools {
namespace {

/// use(number, own tokens) for each sentence that has a prefix with a next token.
template <class Use>
void for_each_sentence(const Workbench& bench, const TriggerInfo& info, Use&& use) {
  SentenceBatches batches(bench.options().valid, bench.tokenizer(), info, {});
  SentenceBatch batch;
  const std::size_t n_prefix = info.prefix_token ? 1 : 0;
  while (batches.next(batch)) {
    throw_if_interrupted();
    for (std::size_t i = 0; i < batch.sentences.size(); ++i) {
      const std::span<const TokenId> all(batch.tokens);
      const auto own = all.subspan(batch.offsets[i] + n_prefix, batch.offsets[i + 1] - batch.offsets[i] - n_prefix);
      if (own.size() >= 2) use(batch.sentences[i], own);
    }
  }
}

void add_sentence(ExampleSet& set, std::int64_t number, std::span<const TokenId> own) {
  set.sentences.push_back(number);
  set.tokens.insert(set.tokens.end(), own.begin(), own.end());
  set.offsets.push_back(set.tokens.size());
}

/// How many there are to draw from. Throws corpus_empty.
void count_prefixes(ExampleSet& set, const Workbench& bench, const TriggerInfo& info) {
  for_each_sentence(bench, info, [&](std::int64_t, std::span<const TokenId> own) {
    set.n_prefixes += own.size() - 1;
    set.n_sentences += 1;
  });
  if (set.n_sentences == 0) {
    fail(ErrorCode::corpus_empty, bench.options().valid.front().string(), ": no sentence has two tokens");
  }
}

/// Of all prefixes, numbered through the text.
void take_prefixes(ExampleSet& set, const Workbench& bench, const TriggerInfo& info, std::size_t n, Random random) {
  const std::vector<std::size_t> chosen = sample(set.n_prefixes, n, random);
  auto next = chosen.begin();
  std::size_t first = 0;  // the number of the sentence's first prefix
  for_each_sentence(bench, info, [&](std::int64_t number, std::span<const TokenId> own) {
    const std::size_t end = first + own.size() - 1;
    if (next != chosen.end() && *next < end) add_sentence(set, number, own);
    for (; next != chosen.end() && *next < end; ++next) set.examples.push_back({set.sentences.size() - 1, *next - first + 1});
    first = end;
  });
}

/// One prefix of each of n sentences.
void take_sentences(ExampleSet& set, const Workbench& bench, const TriggerInfo& info, std::size_t n, Random random) {
  const std::vector<std::size_t> chosen = sample(set.n_sentences, n, random);
  auto next = chosen.begin();
  std::size_t index = 0;
  for_each_sentence(bench, info, [&](std::int64_t number, std::span<const TokenId> own) {
    if (next == chosen.end() || *next != index++) return;
    ++next;
    add_sentence(set, number, own);
    set.examples.push_back({set.sentences.size() - 1, 1 + random.below(own.size() - 1)});
  });
}

/// Prefixes of at least one token, by sentence, then by length.
void check_order(const SafetensorsFile& file, std::span<const std::int64_t> sentences, std::span<const std::int64_t> offsets) {
  const auto length = [&](std::size_t i) { return offsets[i + 1] - offsets[i]; };
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    const bool is_first = i == 0 || sentences[i - 1] < sentences[i];
    if (length(i) > 0 && (is_first || (sentences[i - 1] == sentences[i] && length(i - 1) < length(i)))) continue;
    fail(ErrorCode::store_invalid, file.path().string(), ": prefix ", i,
         ": expected prefixes by sentence, then by length, found ", length(i), " tokens of sentence ", sentences[i]);
  }
}

}  // namespace

TriggerJob validation_job(const Workbench& bench) {
  require_valid(bench.options());
  TriggerRequest request = bench.options().triggers;
  request.max_sentences.reset();
  TriggerJob job =
      make_trigger_job(request, bench.options().model, bench.model(), bench.tokenizer(), bench.options().valid, {});
  job.info.shards = {};
  return job;
}

std::span<const TokenId> ExampleSet::prefix(std::size_t example) const {
  const Example& e = examples[example];
  return std::span(tokens).subspan(offsets[e.sentence], e.length);
}

TokenId ExampleSet::next(std::size_t example) const {
  const Example& e = examples[example];
  return tokens[offsets[e.sentence] + e.length];
}

void check_validation_text(const Workbench& bench) {
  ExampleSet set;
  count_prefixes(set, bench, validation_job(bench).info);
}

ExampleSet sample_examples(const Workbench& bench, std::size_t n, std::string_view purpose) {
  const TriggerInfo info = validation_job(bench).info;
  ExampleSet set;
  count_prefixes(set, bench, info);
  if (bench.options().one_per_sentence) {
    take_sentences(set, bench, info, n, bench.random(purpose));
  } else {
    take_prefixes(set, bench, info, n, bench.random(purpose));
  }
  return set;
}

StoredPrefixes::StoredPrefixes(const ExampleSet& set)
    : metadata_{{"n_prefixes", std::to_string(set.n_prefixes)}, {"n_sentences", std::to_string(set.n_sentences)}} {
  for (std::size_t i = 0; i < set.size(); ++i) {
    const auto prefix = set.prefix(i);
    sentence_.push_back(set.sentences[set.examples[i].sentence]);
    tokens_.insert(tokens_.end(), prefix.begin(), prefix.end());
    offsets_.push_back(static_cast<std::int64_t>(tokens_.size()));
    next_.push_back(set.next(i));
  }
}

std::vector<TensorToWrite> StoredPrefixes::tensors() const {
  return {{"sentence", DType::i64, {sentence_.size()}, sentence_.data()},
          {"prefix_offsets", DType::i64, {offsets_.size()}, offsets_.data()},
          {"prefix_tokens", DType::i32, {tokens_.size()}, tokens_.data()},
          {"next", DType::i32, {next_.size()}, next_.data()}};
}

Origin StoredPrefixes::metadata(Origin origin) const {
  origin.insert(metadata_.begin(), metadata_.end());
  return origin;
}

ExampleSet StoredPrefixes::read(const SafetensorsFile& file, std::size_t vocab_size) {
  const MetadataFields fields(file);
  const std::size_t n = file.at("sentence").n_elements;
  const std::size_t n_tokens = file.at("prefix_tokens").n_elements;
  const auto sentences = stored_array<std::int64_t>(file, "sentence", {n}, 0, INT64_MAX);
  const auto offsets = stored_array<std::int64_t>(file, "prefix_offsets", {n + 1}, 0, n_tokens + 1);
  const auto tokens = stored_array<TokenId>(file, "prefix_tokens", {n_tokens}, 0, vocab_size);
  const auto next = stored_array<TokenId>(file, "next", {n}, 0, vocab_size);
  check_order(file, sentences, offsets);
  ExampleSet set;
  set.n_prefixes = fields.whole<std::size_t>("n_prefixes");
  set.n_sentences = fields.whole<std::size_t>("n_sentences");
  for (std::size_t i = 0; i < n; ++i) {
    const auto begin = static_cast<std::size_t>(offsets[i]);
    const auto prefix = std::span(tokens).subspan(begin, static_cast<std::size_t>(offsets[i + 1]) - begin);
    const bool is_longest = i + 1 == n || sentences[i + 1] != sentences[i];
    set.examples.push_back({set.sentences.size(), prefix.size()});
    if (!is_longest) continue;
    std::vector<TokenId> own(prefix.begin(), prefix.end());
    own.push_back(next[i]);
    add_sentence(set, sentences[i], own);
  }
  return set;
}

}  // namespace ffmem::tools
