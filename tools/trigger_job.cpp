#include "tools/trigger_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/numbers.hpp"
#include "tools/output.hpp"
#include "tools/progress.hpp"
#include "tools/ranks.hpp"
#include "tools/token_text.hpp"
#include "tools/trigger_reduction.hpp"

namespace ffmem::tools {
namespace {

/// Sentences longer than this are cut even where the model's context is longer: the workspace is made for one of them.
constexpr std::size_t kMaxContext = 4096;

/// Work of another number of ranks is not forgotten silently.
void check_other_checkpoints(const TriggerJob& job, bool restart) {
  for (const auto& path : other_checkpoints(job.out, n_ranks())) {
    if (!restart) {
      fail(ErrorCode::store_invalid, path.string(), ": is of a search by another number of ranks than ", n_ranks(),
           "; that number goes on from it, and a search without it (ffmem triggers: --restart) begins anew");
    }
    remove_file(path);
  }
}

/// The checkpoint to go on from, if there is one.
std::optional<TriggerCheckpoint> find_start(const TriggerJob& job, bool restart, bool quiet) {
  const auto& path = job.search.checkpoint;
  if (restart) {
    remove_file(path);
    return std::nullopt;
  }
  try {
    auto start = read_checkpoint(path, job.info, job.model->config().n_layers, job.model->config().d_memory);
    if (start && !quiet) {
      note(fmt::format("going on from {} at sentence {}", path.string(), start->next_sentence));
    }
    return start;
  } catch (const Error& error) {
    fail(error.code(), error.what(), "; a search without it begins anew: delete it (ffmem triggers: --restart does)");
  }
}

/// For a single rank that is to search all: its launcher may have started several that do not see each other. Each would do all
/// of the work, and write over the others' results.
void refuse_lone_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* value = std::getenv(variable);
    const int n = value == nullptr ? 1 : to_number<int>(value).value_or(1);
    if (n <= 1) continue;
    fail(ErrorCode::argument_invalid, "one of ", n, " ranks (", variable,
         ") that do not see each other: use the mpirun of the MPI that this program was built with (-Dmpi=enabled), or --shard "
         "and ffmem merge");
  }
}

/// Every rank its own shard.
ShardSet shards_of_rank(const ShardSet& asked) {
  if (n_ranks() == 1) {
    if (asked.whole()) refuse_lone_rank();
    return asked;
  }
  if (!asked.whole()) fail(ErrorCode::argument_invalid, "--shard: the ", n_ranks(), " ranks share the corpus out themselves");
  return {.n = static_cast<std::size_t>(n_ranks()), .parts = {static_cast<std::size_t>(rank())}};
}

/// What the store at job.out says of itself when the job is done.
TriggerInfo result_info(const TriggerJob& job) {
  TriggerInfo info = job.info;
  if (n_ranks() > 1) info.shards = {};  // it holds what all of them found
  return info;
}

/// Null where none can be read.
std::unique_ptr<TriggerStore> store_at(const std::filesystem::path& path) {
  try {
    return std::filesystem::exists(path) ? std::make_unique<TriggerStore>(path) : nullptr;
  } catch (const Error&) {
    return nullptr;
  }
}

void search_with_progress(TriggerJob& job, TriggerSearch& search, bool quiet) {
  const auto most = job.info.max_sentences;
  Progress progress("triggers", most ? static_cast<double>(*most) : static_cast<double>(job.corpus_bytes) / 1e3,
                    most ? "sentences" : "kB", quiet);
  bool first = true;
  job.search.progress = [&](const SentenceBatch& batch) {
    const double done = most ? static_cast<double>(batch.next_sentence) : static_cast<double>(batch.bytes_done) / 1e3;
    if (first) progress.set_already_done(done);
    first = false;
    progress.update(done);
  };
  search.run(job.search);
}

/// The store's metadata has the corpus files' names, one a line.
void check_names(const std::filesystem::path& model, const std::vector<std::filesystem::path>& corpus) {
  check_storable(model_path_text(model), model);
  for (const auto& file : corpus) {
    const std::string name = file.filename().string();
    check_storable(name, file);
    if (name.find('\n') != std::string::npos) {
      fail(ErrorCode::argument_invalid, readable_text(file.native()), ": expected a name without a line end");
    }
  }
}

}  // namespace

std::optional<TokenId> prefix_token(const ModelConfig& config, const Tokenizer& tokenizer) {
  for (const auto& token : {config.bos, tokenizer.bos(), config.eos, tokenizer.eos()}) {
    if (token) return token;
  }
  return std::nullopt;
}

std::size_t sentence_context(std::optional<std::size_t> asked, const ModelConfig& config, bool has_prefix_token) {
  const std::size_t context = asked.value_or(std::min(config.max_positions, kMaxContext));
  const std::size_t smallest = has_prefix_token ? 2 : 1;
  if (context > config.max_positions || context < smallest) {
    fail(ErrorCode::argument_invalid, "--context: expected ", smallest, " to ", config.max_positions,
         " (the model's own), found ", context);
  }
  return context;
}

TriggerJob make_trigger_job(const TriggerRequest& request, const ModelArguments& arguments, std::shared_ptr<const Model> model,
                            std::shared_ptr<const Tokenizer> tokenizer, std::vector<std::filesystem::path> corpus,
                            const std::filesystem::path& out) {
  check_names(arguments.folder, corpus);
  if (request.smallest && !has_negative_coefficients(model->config())) {
    fail(ErrorCode::argument_invalid, "--smallest: no coefficient of this model is below 0: its activation is ",
         name(model->config().activation));
  }
  TriggerJob job{.model = std::move(model), .tokenizer = std::move(tokenizer), .corpus = std::move(corpus), .out = out};
  job.corpus_bytes = corpus_bytes(job.corpus);
  check_corpus(job.corpus);
  TriggerInfo& info = job.info;
  info.model = model_path_text(arguments.folder);
  info.model_fingerprint = model_fingerprint(arguments.folder, weight_files(*job.model));
  info.weights = name(job.model->weight_mode());
  for (const auto& file : job.corpus) info.corpus.push_back(file.filename().string());
  info.corpus_fingerprint = fingerprint(job.corpus);
  info.sentences = request.sentences;
  info.top = request.top;
  info.every_prefix = request.every_prefix;
  info.smallest = request.smallest;
  info.prefix_token = prefix_token(job.model->config(), *job.tokenizer);
  info.context = sentence_context(request.context, job.model->config(), info.prefix_token.has_value());
  info.max_sentences = request.max_sentences;
  info.shards = shards_of_rank(request.shards);
  job.search = {.batch_tokens = request.batch_tokens,
                .n_threads = arguments.threads,
                .checkpoint = checkpoint_path(out, rank(), n_ranks()),
                .checkpoint_seconds = request.checkpoint_seconds,
                .stop = [] { return interrupted() || another_rank_failed(); },
                .progress = {},
                .compare_forward = request.compare_forward};
  return job;
}

bool has_negative_coefficients(const ModelConfig& config) noexcept {
  constexpr std::array kNever{Activation::relu, Activation::relu2, Activation::relu6, Activation::sigmoid, Activation::laplace};
  return config.gated || std::ranges::find(kNever, config.activation) == kNever.end();
}

std::unique_ptr<TriggerStore> finished_result(const TriggerJob& job) {
  auto found = store_at(job.out);
  return found && difference_in_shards_too(found->info(), result_info(job)).empty() ? std::move(found) : nullptr;
}

void warn_of_replacing(const TriggerJob& job) {
  if (!std::filesystem::exists(job.out)) return;
  const auto found = store_at(job.out);
  const std::string differs = found ? concat(" (", difference_in_shards_too(found->info(), result_info(job)), ")") : "";
  note(concat(job.out.string(), ": is not the finished result of this search", differs, ", and will be replaced"));
}

TriggerOutcome run_trigger_job(TriggerJob& job, bool restart, bool quiet) {
  quiet = quiet || rank() > 0;
  if (rank() == 0) check_other_checkpoints(job, restart);
  wait_for_rank_0();  // no rank leaves a checkpoint of a search that is refused
  auto start = find_start(job, restart, quiet);
  const std::uint64_t own_tokens_before = start ? start->info.counts.n_tokens : 0;
  TriggerSearch search(job.model, job.tokenizer, job.corpus, job.info, std::move(start));
  const auto begin = std::chrono::steady_clock::now();
  search_with_progress(job, search, quiet);
  reduce_to_rank_0(search);
  const std::uint64_t tokens_before = sum_on_rank_0(own_tokens_before);
  TriggerOutcome outcome{.counts = search.info().counts,
                         .n_keys = search.table().n_layers * search.table().d_memory,
                         .n_keys_never_fired = keys_with_fewer_than(1, search.table()),
                         .n_keys_with_fewer = keys_with_fewer_than(job.info.top, search.table())};
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (job.search.compare_forward) {
    outcome.comparison = search.comparison();
    outcome.seconds -= search.comparison().forward_seconds;
  }
  const auto tokens = static_cast<double>(outcome.counts.n_tokens - tokens_before);
  outcome.tokens_per_second = outcome.seconds > 0 ? tokens / outcome.seconds : 0.0;
  if (rank() == 0) search.write(job.out, interrupted);
  wait_for_rank_0();
  remove_file(job.search.checkpoint);
  return outcome;
}

}  // namespace ffmem::tools
