// ffmem triggers: for every key of every layer, the sentence prefixes of a corpus with the highest coefficient (paper 3.1).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/corpus.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/progress.hpp"
#include "tools/trigger_plan.hpp"
#include "tools/trigger_search.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {
namespace {

/// Sentences longer than this are cut even where the model's context is longer: the workspace is made for one of them.
constexpr std::size_t kMaxContext = 4096;

struct Options {
  ModelArguments model;
  std::vector<std::filesystem::path> corpus;
  std::filesystem::path out;
  std::size_t top = 50;
  std::string sentences = "icu";
  bool every_prefix = false;
  bool smallest = false;
  std::string shard;
  std::optional<std::int64_t> max_sentences;
  std::optional<std::size_t> context;
  std::size_t batch_tokens = 1024;
  double checkpoint_seconds = 60.0;
  bool restart = false;
  bool plan = false;
  bool json = false;
  bool quiet = false;
};

/// Model, tokenizer and what is to be searched.
struct Job {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  TriggerInfo info;
  std::uint64_t corpus_bytes = 0;
  TriggerSearchOptions search;
};

std::optional<TokenId> prefix_token(const ModelConfig& config, const Tokenizer& tokenizer) {
  for (const auto& token : {config.bos, tokenizer.bos(), config.eos, tokenizer.eos()}) {
    if (token) return token;
  }
  return std::nullopt;
}

ShardSet shard_option(const std::string& text) {
  try {
    return ShardSet::parse(text);
  } catch (const Error& error) {
    throw UsageError(concat("--", error.what()));
  }
}

std::size_t context_option(const Options& options, const ModelConfig& config, bool has_prefix) {
  const std::size_t context = options.context.value_or(std::min(config.max_positions, kMaxContext));
  if (context > config.max_positions || context < (has_prefix ? 2 : 1)) {
    fail(ErrorCode::argument_invalid, "--context: expected ", has_prefix ? 2 : 1, " to ", config.max_positions,
         " (the model's own), found ", context);
  }
  return context;
}

TriggerInfo describe(const Options& options, const Job& job) {
  TriggerInfo info;
  info.model = std::filesystem::canonical(options.model.folder).string();
  info.model_fingerprint = model_fingerprint(options.model.folder, weight_files(*job.model));
  for (const auto& file : options.corpus) info.corpus.push_back(std::filesystem::canonical(file).string());
  info.corpus_fingerprint = fingerprint(options.corpus);
  info.sentences = sentence_mode_from_name(options.sentences);
  info.top = options.top;
  info.every_prefix = options.every_prefix;
  info.smallest = options.smallest;
  info.prefix_token = prefix_token(job.model->config(), *job.tokenizer);
  info.context = context_option(options, job.model->config(), info.prefix_token.has_value());
  info.max_sentences = options.max_sentences;
  info.shards = shard_option(options.shard);
  return info;
}

Job prepare(const Options& options) {
  Job job;
  job.corpus_bytes = corpus_bytes(options.corpus);
  check_corpus(options.corpus);
  job.model = load_model(options.model);
  job.tokenizer = require_tokenizer(options.model, job.model->config());
  job.info = describe(options, job);
  job.search = {.batch_tokens = options.batch_tokens,
                .n_threads = options.model.threads,
                .checkpoint = checkpoint_path(options.out),
                .checkpoint_seconds = options.checkpoint_seconds,
                .stop = interrupted,
                .progress = {}};
  return job;
}

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:9.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

void print_plan(const Options& options, const Job& job) {
  const MemoryPlan plan = plan_memory(*job.model, job.tokenizer->vocab_size(), job.info, trigger_session(job.info, job.search));
  const std::size_t n_keys = job.model->config().n_layers * job.model->config().d_memory;
  if (options.json) {
    JsonObject memory;
    for (const auto& part : plan.parts) memory.add(part.name, part.bytes);
    write_out(JsonObject()
                  .add("keys", n_keys)
                  .add("corpus_files", options.corpus.size())
                  .add("corpus_bytes", job.corpus_bytes)
                  .add("memory_bytes", memory.json())
                  .add("peak_bytes", plan.peak_bytes())
                  .line());
    return;
  }
  std::string text = fmt::format("work: {} keys over {} corpus file{} of {} bytes\nmemory:\n", n_keys, options.corpus.size(),
                                 options.corpus.size() == 1 ? "" : "s", job.corpus_bytes);
  for (const auto& part : plan.parts) text += fmt::format("  {}  {}\n", mebibytes(part.bytes), part.what);
  write_out(text + fmt::format("  {}  peak\n", mebibytes(plan.peak_bytes())));
}

/// The checkpoint to go on from, if there is one.
std::optional<TriggerCheckpoint> find_start(const Options& options, const Job& job) {
  const auto path = job.search.checkpoint;
  if (options.restart) {
    std::filesystem::remove(path);
    return std::nullopt;
  }
  try {
    auto start = read_checkpoint(path, job.info, job.model->config().n_layers, job.model->config().d_memory);
    if (start && !options.quiet) {
      std::fputs(fmt::format("ffmem: going on from {} at sentence {}\n", path.string(), start->next_sentence).c_str(), stderr);
    }
    return start;
  } catch (const Error& error) {
    fail(error.code(), error.what(), "; --restart begins anew");
  }
}

void search(const Options& options, Job& job, TriggerSearch& search) {
  Progress progress("triggers", static_cast<double>(job.corpus_bytes) / 1e6, "MB", options.quiet);
  bool first = true;
  job.search.progress = [&](const SentenceBatch& batch) {
    const double done = static_cast<double>(batch.bytes_done) / 1e6;
    if (first) progress.set_already_done(done);
    first = false;
    progress.update(done);
  };
  search.run(job.search);
}

void print_summary(const Options& options, const TriggerSearch& search, std::uint64_t tokens_before, double seconds) {
  const TriggerCounts& counts = search.info().counts;
  const double rate = seconds > 0 ? static_cast<double>(counts.n_tokens - tokens_before) / seconds : 0.0;
  const std::size_t n_keys = search.table().n_layers * search.table().d_memory;
  const std::size_t n_never = keys_never_fired(search.table());
  if (!options.quiet) {
    const std::string text = fmt::format(
        "ffmem: {} sentences, {} tokens ({:.0f} tokens/s), {} sentences cut to the context of {}; {} of {} keys never fired\n",
        counts.n_sentences, counts.n_tokens, rate, counts.n_cut, search.info().context, n_never, n_keys);
    std::fputs(text.c_str(), stderr);
  }
  if (options.json) {
    write_out(JsonObject()
                  .add("out", options.out)
                  .add("sentences", counts.n_sentences)
                  .add("tokens", counts.n_tokens)
                  .add("cut_sentences", counts.n_cut)
                  .add("keys", n_keys)
                  .add("keys_never_fired", n_never)
                  .add("seconds", seconds)
                  .add("tokens_per_second", rate)
                  .line());
  }
}

/// Before the work, not after it.
void check_writable(const std::filesystem::path& out) {
  if (out.empty()) throw UsageError("triggers: -o FILE says where the result goes");
  const AtomicFile probe(out);
  remove_leftovers(out);
}

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  catch_interrupts();
  if (!options.plan) check_writable(options.out);
  Job job = prepare(options);
  if (options.plan) return print_plan(options, job);

  auto start = find_start(options, job);
  const std::uint64_t tokens_before = start ? start->info.counts.n_tokens : 0;
  TriggerSearch trigger_search(job.model, job.tokenizer, options.corpus, job.info, std::move(start));
  const auto begin = std::chrono::steady_clock::now();
  search(options, job, trigger_search);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  trigger_search.write(options.out, interrupted);
  std::filesystem::remove(job.search.checkpoint);
  print_summary(options, trigger_search, tokens_before, seconds);
}

void add_search_options(CLI::App& command, Options& options) {
  command.add_option("--top", options.top, "Examples kept for each key")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str()
      ->type_name("T");
  command.add_option("--sentences", options.sentences, "How a line is cut: icu (Unicode's sentence boundaries), lines (not)")
      ->check(CLI::IsMember({"icu", "lines"}))
      ->capture_default_str();
  command.add_flag("--every-prefix", options.every_prefix, "Let several prefixes of one sentence count for a key");
  command.add_flag("--smallest", options.smallest, "The most negative coefficients instead (gated layers)");
  command.add_option("--max-sentences", options.max_sentences, "Only the first N sentences of the corpus")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 50))
      ->type_name("N");
  command.add_option("--context", options.context, "Tokens at which a sentence is cut (default: the model's, at most 4096)")
      ->type_name("N");
  command.add_option("--shard", options.shard, "I/N: only sentences whose number modulo N is I; see ffmem merge")
      ->type_name("I/N");
}

void add_run_options(CLI::App& command, Options& options) {
  command.add_option("--batch-tokens", options.batch_tokens, "Tokens run at a time")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--checkpoint-every", options.checkpoint_seconds, "Write OUT.partial at most so often")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str()
      ->type_name("SECONDS");
  command.add_flag("--restart", options.restart, "Begin anew although OUT.partial is there");
  command.add_flag("--plan", options.plan, "Print the memory and work this takes, and stop");
  command.add_flag("--json", options.json, "One JSON line at the end (with --plan: the plan)");
  command.add_flag("--quiet", options.quiet, "No progress and no summary");
}

}  // namespace

void add_triggers(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("triggers", "Find every key's trigger examples in a corpus");
  add_model_options(*command, options->model);
  command->add_option("CORPUS", options->corpus, "UTF-8 text files")->required();
  command->add_option("-o,--out", options->out, "The trigger store to write (safetensors)")->type_name("FILE");
  add_search_options(*command, *options);
  add_run_options(*command, *options);
  command->footer(
      "A run that was ended goes on from OUT.partial when the same command is given again; the result has the same bytes.\n"
      "Examples:\n"
      "  ffmem triggers models/gpt2 train.txt -o triggers.safetensors\n"
      "  ffmem triggers models/gpt2 train.txt -o part0.safetensors --shard 0/2\n"
      "  ffmem triggers models/gpt2 train.txt -o triggers.safetensors --plan");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
