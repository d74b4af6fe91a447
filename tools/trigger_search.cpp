#include "tools/trigger_search.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <utility>

#include "ops/error.hpp"
#include "tools/fingerprint.hpp"
#include "tools/number_check.hpp"
#include "tools/speed/blind_hook.hpp"
#include "tools/speed/seconds.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {
namespace {

using Clock = std::chrono::steady_clock;

/// Calls use(tokens) for each sentence in `index` (ascending), in order.
template <class Use>
void for_each_named(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer, const TriggerInfo& info,
                    const std::vector<std::int64_t>& index, const std::function<bool()>& stop, Use&& use) {
  SentenceReader reader(files, info.sentences);
  for (const std::int64_t wanted : index) {
    std::optional<std::string_view> sentence;
    do {
      if (reader.next_index() % 1024 == 0 && stop && stop())
        fail(ErrorCode::interrupted, "stopped while writing the result; the same command goes on");
      sentence = reader.next();
    } while (sentence && reader.next_index() <= wanted);
    if (!sentence) fail(ErrorCode::store_invalid, "sentence ", wanted, " is gone: the corpus has changed during the search");
    use(sentence_tokens(tokenizer, *sentence, info));
  }
}

}  // namespace

SessionOptions trigger_session(const TriggerInfo& info, const TriggerSearchOptions& options) {
  return {.max_sequences = sequences_of(options.batch_tokens),
          .context = info.context,
          .max_batch_tokens = std::max(options.batch_tokens, info.context),
          .keep_cache = false,
          .n_threads = options.n_threads};
}

TriggerSearch::TriggerSearch(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                             std::vector<std::filesystem::path> files, TriggerInfo info, std::optional<TriggerCheckpoint> start)
    : model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      files_(std::move(files)),
      info_(std::move(info)),
      next_sentence_(start ? start->next_sentence : 0),
      hook_(start ? std::move(start->table) : TriggerTable(model_->config().n_layers, model_->config().d_memory, info_.top),
            {.every_prefix = info_.every_prefix, .smallest = info_.smallest}) {
  info_.counts = start ? start->info.counts : TriggerCounts{};
}

void TriggerSearch::run_batch(Session& session, const SentenceBatch& batch) {
  hook_.next_batch(batch.sentences, info_.prefix_token ? 1 : 0);
  NumberCheck check(model_->config().n_layers);
  const std::array<Hook*, 2> hooks{&check, &hook_};
  session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
}

/// Each of the two goes first in every other batch.
void TriggerSearch::compare_batch(Session& session, const SentenceBatch& batch) {
  const auto search = [&] { comparison_.search_seconds += seconds_of([&] { run_batch(session, batch); }); };
  if (search_first_) search();
  BlindHook blind;
  const std::array<Hook*, 1> hooks{&blind};
  comparison_.forward_seconds +=
      seconds_of([&] { session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks); });
  if (!search_first_) search();
  search_first_ = !search_first_;
  comparison_.n_tokens += batch.tokens.size() - (info_.prefix_token ? batch.sentences.size() : 0);
}

void TriggerSearch::save(const TriggerSearchOptions& options) const {
  write_checkpoint(options.checkpoint, table(), info_, next_sentence_);
}

void TriggerSearch::run(const TriggerSearchOptions& options) {
  const SessionOptions session_options = trigger_session(info_, options);
  Session session(model_, session_options);
  SentenceBatches batches(files_, tokenizer_, info_,
                          {.max_tokens = options.batch_tokens,
                           .max_sequences = session_options.max_sequences,
                           .first_sentence = next_sentence_,
                           .counts = info_.counts});
  auto saved = Clock::now();
  SentenceBatch batch;
  SentenceBatch following;
  for (bool more = batches.next(batch); more;) {
    // The next batch is read and tokenised while the model runs this one.
    auto reading = std::async(std::launch::async, [&] { return batches.next(following); });
    if (options.compare_forward) {
      reading.wait();  // or it would slow down whichever of the two goes first
      compare_batch(session, batch);
    } else {
      run_batch(session, batch);
    }
    info_.counts = batch.counts;
    next_sentence_ = batch.next_sentence;
    if (options.progress) options.progress(batch);
    const bool stop = options.stop && options.stop();
    if (stop || std::chrono::duration<double>(Clock::now() - saved).count() >= options.checkpoint_seconds) {
      save(options);
      saved = Clock::now();
    }
    if (stop) {
      fail(ErrorCode::interrupted, "stopped before sentence ", next_sentence_, "; the same command goes on from ",
           options.checkpoint.string());
    }
    more = reading.get();
    std::swap(batch, following);
  }
  info_.counts = batch.counts;
  next_sentence_ = batch.next_sentence;
  if (batches.n_seen() == 0) fail(ErrorCode::corpus_empty, files_.front().string(), ": no sentences in the corpus");
  save(options);
}

void TriggerSearch::add(const TriggerTable& other, const ShardSet& shards, const TriggerCounts& counts) {
  hook_ =
      TopTriggers(merge(table(), other, info_.every_prefix), {.every_prefix = info_.every_prefix, .smallest = info_.smallest});
  info_.shards.parts.insert(info_.shards.parts.end(), shards.parts.begin(), shards.parts.end());
  std::ranges::sort(info_.shards.parts);
  info_.counts.n_sentences += counts.n_sentences;
  info_.counts.n_tokens += counts.n_tokens;
  info_.counts.n_cut += counts.n_cut;
}

void TriggerSearch::check_unchanged() const {
  const std::string now = fingerprint(files_);
  if (now == info_.corpus_fingerprint) return;
  fail(ErrorCode::store_invalid, files_.front().string(), files_.size() > 1 ? " or another file of the corpus" : "",
       ": has changed during the search: expected fingerprint ", info_.corpus_fingerprint, ", found ", now);
}

void TriggerSearch::write(const std::filesystem::path& out, const std::function<bool()>& stop) const {
  NamedSentences named{.index = named_sentences(table()), .offsets = {0}, .walk = {}};
  named.offsets.reserve(named.index.size() + 1);
  for_each_named(files_, *tokenizer_, info_, named.index, stop, [&](const std::vector<TokenId>& tokens) {
    named.offsets.push_back(named.offsets.back() + static_cast<std::int64_t>(tokens.size()));
  });
  named.walk = [&](const NamedSentences::Sink& append) {
    for_each_named(files_, *tokenizer_, info_, named.index, stop, append);
    check_unchanged();
  };
  write_trigger_store(out, table(), info_, named, Vocabulary(*tokenizer_, model_->config().vocab_size));
}

}  // namespace ffmem::tools
