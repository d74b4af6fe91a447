// A trigger search from what a user asks for to the file: used by `ffmem triggers` and by the experiments.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "tools/corpus.hpp"
#include "tools/options.hpp"
#include "tools/trigger_info.hpp"
#include "tools/trigger_search.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {

/// The largest that a command line may ask for.
constexpr std::size_t kMostTop = 100'000;
constexpr std::size_t kMostSentences = std::size_t{1} << 50;
constexpr std::size_t kMostBatchTokens = std::size_t{1} << 20;

/// What is searched for, and in what steps.
struct TriggerRequest {
  std::size_t top = 50;
  SentenceMode sentences = SentenceMode::icu;
  bool every_prefix = false;
  bool smallest = false;
  ShardSet shards;
  std::optional<std::int64_t> max_sentences;
  std::optional<std::size_t> context;  // default: the model's, at most 4096
  std::size_t batch_tokens = 1024;
  double checkpoint_seconds = 60.0;
  bool compare_forward = false;
};

struct TriggerJob {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<std::filesystem::path> corpus{};
  std::uint64_t corpus_bytes = 0;
  TriggerInfo info{};
  TriggerSearchOptions search{};  // its checkpoint is OUT.partial, or that of the rank
  std::filesystem::path out{};
};

/// The token fed before every sentence: beginning-of-text, or where there is none end-of-text, of the model or its tokenizer.
std::optional<TokenId> prefix_token(const ModelConfig& config, const Tokenizer& tokenizer);

/// Tokens of a sentence's run at most, the prefix token included. Throws argument_invalid for a context the model has not.
std::size_t sentence_context(std::optional<std::size_t> asked, const ModelConfig& config, bool has_prefix_token);

/// True if the model's activation, or its gate, can make a coefficient negative.
bool has_negative_coefficients(const ModelConfig& config) noexcept;

/// Reads the whole corpus once (an error in it shows here). Throws what sentence_context, check_corpus and fingerprint throw,
/// and argument_invalid where the store could not hold the name of the model or of a corpus file, for the smallest coefficients
/// of a model that has none below 0, and for a search of all where the launcher started several processes that are no ranks of
/// one another.
TriggerJob make_trigger_job(const TriggerRequest& request, const ModelArguments& arguments, std::shared_ptr<const Model> model,
                            std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::filesystem::path> corpus,
                            const std::filesystem::path& out);

/// The store at job.out if it is the finished result of this very search, by what it says of itself: model and corpus by their
/// contents, options, and of a single rank the shards. Otherwise, or where nothing can be read there, null.
std::unique_ptr<TriggerStore> finished_result(const TriggerJob& job);

/// Where there is a file at job.out that is not the finished result, says on standard error that it will be replaced, and of
/// another search the first thing in which it differs.
void warn_of_replacing(const TriggerJob& job);

struct TriggerOutcome {
  TriggerCounts counts;
  std::size_t n_keys = 0;
  std::size_t n_keys_never_fired = 0;
  std::size_t n_keys_with_fewer = 0;              // examples than were asked for, those without any among them
  double seconds = 0.0;                           // without those of the passes compared with
  double tokens_per_second = 0.0;                 // of this run, without what the checkpoint had
  std::optional<ForwardComparison> comparison{};  // of this rank, where it was asked for
};

/// Searches, going on from the checkpoint if it is there (restart: after removing it), and writes job.out. Shows progress
/// unless quiet. Of several ranks (tools/ranks.hpp), which all call it, each searches its shard, and rank 0 writes and shows;
/// what it returns on the others is about them alone. Throws what TriggerSearch, read_checkpoint and reduce_to_rank_0 throw;
/// store_invalid where checkpoints of another number of ranks are there.
TriggerOutcome run_trigger_job(TriggerJob& job, bool restart, bool quiet);

}  // namespace ffmem::tools
