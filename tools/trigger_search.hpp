// The search for trigger examples (paper section 3.1) over a corpus: batches of sentences through the model, the running top-t
// of every key, checkpoints, and the result's file.
//
// The result does not depend on batches, threads, or where the work was interrupted: a row's coefficients have the same bits in
// any batch, and the order of examples is total (hooks/top_triggers.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "hooks/top_triggers.hpp"
#include "loaders/tokenizer.hpp"
#include "runtime/model.hpp"
#include "runtime/session.hpp"
#include "tools/sentence_batches.hpp"
#include "tools/trigger_checkpoint.hpp"
#include "tools/trigger_info.hpp"

namespace ffmem::tools {

struct TriggerSearchOptions {
  std::size_t batch_tokens = 1024;
  int n_threads = 0;
  std::filesystem::path checkpoint;                    // where it is written
  double checkpoint_seconds = 60.0;                    // at most this often
  std::function<bool()> stop;                          // asked after each batch
  std::function<void(const SentenceBatch&)> progress;  // told after each batch
  bool compare_forward = false;                        // run every batch without the search too
};

/// Seconds that the model took for the same batches with the search and without.
struct ForwardComparison {
  std::size_t n_tokens = 0;  // without the prefix tokens
  double search_seconds = 0.0;
  double forward_seconds = 0.0;
};

/// What the search's session is made with.
SessionOptions trigger_session(const TriggerInfo& info, const TriggerSearchOptions& options);

class TriggerSearch {
 public:
  /// `files` are the corpus that `info` names. Goes on from `start` where there is one (its counts replace info's).
  TriggerSearch(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                std::vector<std::filesystem::path> files, TriggerInfo info, std::optional<TriggerCheckpoint> start);

  /// To the end of the corpus. When stop() says so: writes a checkpoint and throws interrupted. Throws corpus_empty where there
  /// is no sentence at all, argument_invalid where coefficients are NaN, and what reading and running throw.
  void run(const TriggerSearchOptions& options);

  /// After run(): counts in what another search has found over other shards of the same corpus.
  void add(const TriggerTable& other, const ShardSet& shards, const TriggerCounts& counts);

  /// After run(): writes the store, reading the corpus twice more for the tokens of the sentences that keys name, and once for
  /// its fingerprint. Throws file_unwritable; store_invalid if the corpus is not the one that info names any more; interrupted
  /// when stop() says so.
  void write(const std::filesystem::path& out, const std::function<bool()>& stop) const;

  const TriggerTable& table() const noexcept { return hook_.table(); }
  const TriggerInfo& info() const noexcept { return info_; }

  /// After run() with compare_forward: of this run's batches.
  const ForwardComparison& comparison() const noexcept { return comparison_; }

 private:
  void run_batch(Session& session, const SentenceBatch& batch);
  void compare_batch(Session& session, const SentenceBatch& batch);
  void save(const TriggerSearchOptions& options) const;
  void check_unchanged() const;  // the corpus

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::filesystem::path> files_;
  TriggerInfo info_;
  std::int64_t next_sentence_ = 0;
  TopTriggers hook_;
  ForwardComparison comparison_;
  bool search_first_ = false;  // of the next batch compared
};

}  // namespace ffmem::tools
