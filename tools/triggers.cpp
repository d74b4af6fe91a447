// ffmem triggers: for every key of every layer, the sentence prefixes of a corpus with the highest coefficient (paper 3.1).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/corpus.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/leftovers.hpp"
#include "tools/model_files.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/ranks.hpp"
#include "tools/trigger_job.hpp"
#include "tools/trigger_plan.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  ModelArguments model;
  std::vector<std::filesystem::path> corpus;
  std::filesystem::path out;
  TriggerRequest request;
  std::string sentences = "icu";
  std::string shard;
  bool unless_done = false;
  bool restart = false;
  bool plan = false;
  bool json = false;
  bool quiet = false;
};

ShardSet shard_option(const std::string& text) {
  try {
    return ShardSet::parse(text);
  } catch (const Error& error) {
    throw UsageError(concat("--", error.what()));
  }
}

TriggerJob prepare(const Options& options) {
  TriggerRequest request = options.request;
  request.sentences = sentence_mode_from_name(options.sentences);
  request.shards = shard_option(options.shard);
  corpus_bytes(options.corpus);  // a file that is not there shows before the model is loaded
  auto model = load_model(options.model);
  auto tokenizer = require_tokenizer(options.model, model->config());
  return make_trigger_job(request, options.model, std::move(model), std::move(tokenizer), options.corpus, options.out);
}

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:9.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

void print_plan(const Options& options, const TriggerJob& job) {
  const bool done = finished_result(job) != nullptr;
  const MemoryPlan plan =
      plan_memory(*job.model, job.tokenizer->vocab_size(), job.info, trigger_session(job.info, job.search), n_ranks());
  const std::size_t n_keys = job.model->config().n_layers * job.model->config().d_memory;
  if (options.json) {
    JsonObject memory;
    for (const auto& part : plan.parts) memory.add(part.name, part.bytes);
    write_out(JsonObject()
                  .add("keys", n_keys)
                  .add("corpus_files", options.corpus.size())
                  .add("corpus_bytes", job.corpus_bytes)
                  .add("done", done)
                  .add("memory_bytes", memory.json())
                  .add("peak_bytes", plan.peak_bytes())
                  .line());
    return;
  }
  std::string text = fmt::format("work: {} keys over {} corpus file{} of {} bytes{}\nmemory:\n", n_keys, options.corpus.size(),
                                 options.corpus.size() == 1 ? "" : "s", job.corpus_bytes, done ? ", done already" : "");
  for (const auto& part : plan.parts) {
    if (part.bytes > 0) text += fmt::format("  {}  {}\n", mebibytes(part.bytes), part.what);
  }
  write_out(text + fmt::format("  {}  peak\n", mebibytes(plan.peak_bytes())));
}

struct ComparedRates {
  double search = 0.0;  // tokens per second of the model's passes with the search
  double forward = 0.0;
  double costs() const { return forward / search - 1.0; }
};

ComparedRates rates_of(const ForwardComparison& comparison) {
  const auto n_tokens = static_cast<double>(comparison.n_tokens);
  return {.search = n_tokens / comparison.search_seconds, .forward = n_tokens / comparison.forward_seconds};
}

Json as_json(const std::optional<ForwardComparison>& comparison) {
  if (!comparison) return {"null"};
  const ComparedRates rates = rates_of(*comparison);
  return JsonObject()
      .add("tokens", comparison->n_tokens)
      .add("search_tokens_per_second", rates.search)
      .add("forward_tokens_per_second", rates.forward)
      .add("search_costs", rates.costs())
      .json();
}

/// searched: false where the result was there already, and the outcome tells no times.
void print_json(const Options& options, const TriggerOutcome& outcome, bool searched) {
  const auto if_searched = [&](double number) { return searched ? std::optional(number) : std::nullopt; };
  write_out(JsonObject()
                .add("out", options.out)
                .add("sentences", outcome.counts.n_sentences)
                .add("tokens", outcome.counts.n_tokens)
                .add("cut_sentences", outcome.counts.n_cut)
                .add("keys", outcome.n_keys)
                .add("keys_never_fired", outcome.n_keys_never_fired)
                .add("keys_with_fewer_examples", outcome.n_keys_with_fewer)
                .add("searched", searched)
                .add("seconds", if_searched(outcome.seconds))
                .add("tokens_per_second", if_searched(outcome.tokens_per_second))
                .add("compare_forward", as_json(outcome.comparison))
                .line());
}

void print_summary(const Options& options, const TriggerJob& job, const TriggerOutcome& outcome) {
  const TriggerCounts& counts = outcome.counts;
  if (!options.quiet) {
    note(fmt::format(
        "{} sentences, {} tokens ({:.0f} tokens/s), {} sentences cut to the context of {}; {} of {} keys have fewer than {} "
        "examples, {} of them none",
        counts.n_sentences, counts.n_tokens, outcome.tokens_per_second, counts.n_cut, job.info.context,
        outcome.n_keys_with_fewer, outcome.n_keys, job.info.top, outcome.n_keys_never_fired));
    if (outcome.comparison) {
      const ComparedRates rates = rates_of(*outcome.comparison);
      note(fmt::format("the model's passes alone: {:.0f} tokens/s with the search, {:.0f} without: it costs {:.1f} %",
                       rates.search, rates.forward, 100.0 * rates.costs()));
    }
  }
  if (options.json) print_json(options, outcome, true);
}

/// With --unless-done: tells the result that is there already, if it is. All ranks have rank 0's answer.
bool is_done(const Options& options, const TriggerJob& job) {
  if (!options.unless_done) return false;
  if (rank() > 0) return !wait_for_call();
  const auto store = finished_result(job);
  if (!store) {
    if (!options.quiet) warn_of_replacing(job);
    call_ranks();
    return false;
  }
  if (!options.quiet) note(concat(options.out.string(), ": is the finished result of this search already"));
  if (options.json) {
    const TriggerOutcome outcome{.counts = store->info().counts,
                                 .n_keys = store->n_layers() * store->d_memory(),
                                 .n_keys_never_fired = store->n_keys_never_fired(),
                                 .n_keys_with_fewer = keys_with_fewer_than(store->top(), store->table())};
    print_json(options, outcome, false);
  }
  return true;
}

/// The checkpoint is written over, and --restart removes those of other numbers of ranks.
void check_checkpoints(const Options& options, const std::vector<std::filesystem::path>& inputs) {
  std::vector<std::filesystem::path> checkpoints = other_checkpoints(options.out, n_ranks());
  checkpoints.push_back(checkpoint_path(options.out, rank(), n_ranks()));
  for (const auto& checkpoint : checkpoints) {
    if (!is_one_of(checkpoint, inputs)) continue;
    throw UsageError(
        concat("-o ", options.out.string(), ": expected a name whose checkpoint is no input, found ", checkpoint.string()));
  }
}

/// Before the work, not after it.
void check_writable(const Options& options) {
  const std::filesystem::path& out = options.out;
  if (out.empty()) throw UsageError("triggers: -o FILE says where the result goes");
  std::vector<std::filesystem::path> inputs = model_files(options.model.folder);
  inputs.insert(inputs.end(), options.corpus.begin(), options.corpus.end());
  check_is_no_input(out, inputs);
  const auto checkpoint = checkpoint_path(out, rank(), n_ranks());
  const AtomicFile probe(rank() == 0 ? out : checkpoint);
  check_checkpoints(options, inputs);
  if (rank() == 0) remove_leftovers(out);
  remove_leftovers(checkpoint);
}

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  catch_interrupts();
  if (!options.plan) check_writable(options);
  TriggerJob job = prepare(options);
  if (options.plan) return rank() == 0 ? print_plan(options, job) : void();
  if (is_done(options, job)) return;
  const TriggerOutcome outcome = run_trigger_job(job, options.restart, options.quiet);
  if (rank() == 0) print_summary(options, job, outcome);
}

void add_search_options(CLI::App& command, Options& options) {
  check_count(command.add_option("--top", options.request.top, "Examples kept for each key"), 1, kMostTop)
      ->capture_default_str()
      ->type_name("T");
  check_word(command.add_option("--sentences", options.sentences,
                                "How a line is cut: icu (Unicode's sentence boundaries), lines (not)"),
             {"icu", "lines"})
      ->capture_default_str();
  command.add_flag(
      "--every-prefix", options.request.every_prefix,
      "Let several prefixes of one sentence be examples of a key (the paper; without it the best one is, as in its\n"
      "authors' code)");
  command.add_flag("--smallest", options.request.smallest,
                   "The most negative coefficients instead (gated layers, GELU and the like)");
  check_count(command.add_option("--max-sentences", options.request.max_sentences, "Only the first N sentences of the corpus"),
              1, kMostSentences)
      ->type_name("N");
  check_count(command.add_option("--context", options.request.context,
                                 "Tokens at which a sentence is cut (default: the model's, at most 4096)"),
              1)
      ->type_name("N");
  command
      .add_option("--shard", options.shard, "I/N, or I,J/N: only sentences whose number modulo N is I (or J); see ffmem merge")
      ->type_name("I/N");
}

void add_run_options(CLI::App& command, Options& options) {
  check_count(command.add_option("--batch-tokens", options.request.batch_tokens, "Tokens run at a time"), 1, kMostBatchTokens)
      ->capture_default_str()
      ->type_name("N");
  check_number(
      command.add_option("--checkpoint-every", options.request.checkpoint_seconds, "Write OUT.partial at most so often"), 0.0,
      1e9)
      ->capture_default_str()
      ->type_name("SECONDS");
  auto* restart = command.add_flag("--restart", options.restart, "Begin anew although OUT.partial is there");
  auto* plan = command.add_flag("--plan", options.plan, "Print the memory and work this takes, and stop");
  command
      .add_flag(
          "--unless-done", options.unless_done,
          "Search nothing where OUT is the finished result of this same search: the same model, corpus, options and shard")
      ->excludes(restart)
      ->excludes(plan);
  command.add_flag("--compare-forward", options.request.compare_forward,
                   "Run every batch without the search too, in turn, and tell both speeds (takes twice as long)");
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
      "Each sentence is read behind the model's beginning-of-text token, or else its end-of-text token, if it has one;\n"
      "prefixes and positions do not count it.\n"
      "A run that was ended goes on from OUT.partial when the same command is given again; the result has the same bytes.\n"
      "With mpirun (where built with MPI) each of N ranks searches a shard, with its part of the machine's cores and a\n"
      "checkpoint OUT.rank-R-of-N.partial, so that the same N goes on; the result has the bytes of a single process.\n"
      "Examples:\n"
      "  ffmem triggers models/gpt2 train.txt -o triggers.safetensors\n"
      "  ffmem triggers models/gpt2 train.txt -o part0.safetensors --shard 0/2 --unless-done\n"
      "  mpirun -n 4 ffmem triggers models/gpt2 train.txt -o triggers.safetensors\n"
      "  ffmem triggers models/gpt2 train.txt -o triggers.safetensors --plan");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
