// ffmem suite: every experiment of the paper, one folder that a person opens and a program reads.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/experiments/command_line.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/experiments/suite_report.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/lens.hpp"
#include "tools/memory_pages/memory_pages.hpp"
#include "tools/output.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kNearestValues = 5;

struct Options {
  bool json = false;
  std::shared_ptr<ExperimentOptions> experiment = std::make_shared<ExperimentOptions>();
};

/// Seconds of each part, for the manifest.
using Timings = std::vector<std::pair<std::string, double>>;

template <class Work>
auto timed(Timings& timings, std::string name, Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  struct Stop {
    Timings& timings;
    std::string name;
    std::chrono::steady_clock::time_point begin;
    ~Stop() { timings.emplace_back(name, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()); }
  } const stop{timings, std::move(name), begin};
  return work();
}

/// What decides the numbers; nothing of the machine or the time, so that the same run gives the same page.
Facts describe(Workbench& bench) {
  const ExperimentOptions& options = bench.options();
  const TriggerStore& triggers = bench.triggers();
  return {
      {"Model", fmt::format("{}, fingerprint {}", bench.model_name(), bench.model_fingerprint())},
      {"Weights", std::string(name(bench.model()->weight_mode()))},
      {"Memories", fmt::format("{} layers of {}", bench.n_layers(), bench.d_memory())},
      {"Training text",
       fmt::format("{} ({} sentences, {} tokens), fingerprint {}", file_names(options.train),
                   triggers.info().counts.n_sentences, triggers.info().counts.n_tokens, triggers.info().corpus_fingerprint)},
      {"Validation text", fmt::format("{}, fingerprint {}", file_names(options.valid), bench.valid_fingerprint())},
      {"Trigger examples", fmt::format("{} a key{}{}", options.triggers.top,
                                       options.triggers.every_prefix ? ", every prefix" : ", one prefix of a sentence",
                                       options.triggers.smallest ? ", of the most negative coefficients" : "")},
      {"Tokens of a sentence's run, at most", std::to_string(bench.context())},
      {"Values are compared with", options.target == Target::next ? "the token behind the prefix" : "the prefix's last token"},
      {"Sampled prefixes, at most",
       fmt::format("{}{}", options.n_examples, options.one_per_sentence ? ", one of a sentence" : "")},
      {"Active memories", fmt::format("|coefficient| above {}", options.active_above)},
      {"Agreement is sought among", options.agreeing == AgreeingMemories::active ? "active memories" : "all memories"},
      {"Lens of values and feed-forward outputs", std::string(lens_name(options.value_lens))},
      {"Lens of the residual stream", std::string(lens_name(options.stream_lens))},
      {"Seed", std::to_string(options.seed)}};
}

std::vector<Result> run_experiments(Workbench& bench, Timings& timings) {
  std::vector<Result> results;
  for (const Experiment& experiment : all_experiments()) {
    throw_if_interrupted();
    if (!bench.options().quiet) note(experiment.name);
    Result result = timed(timings, std::string(experiment.name), [&] { return experiment.run(bench); });
    results.push_back(write_result(bench.options().out, std::move(result)));
  }
  if (!std::ranges::all_of(results, &Result::figures_drawn)) warn_of_no_gnuplot();
  return results;
}

void write_pages(Workbench& bench) {
  const NearestValues nearest = nearest_values(bench, kNearestValues);
  const CoefficientHistogram histogram = coefficient_histogram(bench);
  write_memory_pages(bench.options().out / "memories", {.triggers = bench.triggers(),
                                                        .values = bench.values(),
                                                        .nearest = nearest,
                                                        .histogram = histogram,
                                                        .model_name = bench.model_name()});
}

/// Every option that bears on a number or a table, by its name on the command line.
Json options_json(const ExperimentOptions& options) {
  const TriggerRequest& triggers = options.triggers;
  return JsonObject()
      .add("sentences", sentence_mode_name(triggers.sentences))
      .add("max-sentences", triggers.max_sentences)
      .add("context", triggers.context)
      .add("top", triggers.top)
      .add("every-prefix", triggers.every_prefix)
      .add("smallest", triggers.smallest)
      .add("lens", lens_name(options.value_lens))
      .add("stream-lens", lens_name(options.stream_lens))
      .add("target", options.target == Target::next ? "next" : "last-read")
      .add("agreeing", options.agreeing == AgreeingMemories::active ? "active" : "all")
      .add("active-above", options.active_above)
      .add("one-per-sentence", options.one_per_sentence)
      .add("examples", options.n_examples)
      .add("removal-keys", options.removal_keys)
      .add("annotated-keys", options.annotated_keys)
      .add("annotated-examples", options.annotated_examples)
      .add("annotations", options.annotations)
      .add("changes", options.changes)
      .add("effect-layer", options.effect_layer)
      .add("effect-examples", options.effect_examples)
      .add("seed", options.seed)
      .json();
}

std::string manifest(Workbench& bench, const Facts& facts, const Timings& timings) {
  JsonObject about;
  for (const auto& [name, value] : facts) about.add(name, value);
  JsonObject seconds;
  double total = 0.0;
  for (const auto& [name, value] : timings) {
    seconds.add(name, value);
    total += value;
  }
  return JsonObject()
      .add("ffmem", FFMEM_VERSION)
      .add("backend", bench.model()->backend().description())
      .add("threads", available_threads())
      .add("model", model_name_of(bench.options().model.folder))
      .add("run", about.json())
      .add("options", options_json(bench.options()))
      .add("seconds", seconds.json())
      .add("total_seconds", total)
      .line();
}

void run(const Options& options) {
  const ExperimentOptions& asked = *options.experiment;
  const ThreadScope threads(asked.model.threads);
  catch_interrupts();
  Timings timings;
  Workbench bench(asked);
  if (rank() > 0) return bench.assist_rank_0();
  check_validation_text(bench);
  timed(timings, "trigger search", [&] { bench.triggers(); });
  timed(timings, "value table", [&] { bench.values(); });
  const std::vector<Result> results = run_experiments(bench, timings);
  timed(timings, "memory pages", [&] { write_pages(bench); });
  const Facts facts = describe(bench);
  const std::string about = manifest(bench, facts, timings);
  write_file(asked.out / "manifest.json", about);
  write_file(asked.out / "report.html", suite_report(bench.model_name(), facts, results));
  write_out(options.json ? about : (asked.out / "report.html").string() + "\n");
}

}  // namespace

void add_suite(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("suite", "Run all of the paper's experiments and write the report");
  add_experiment_options(*command, options->experiment);
  for (const char* text : {"--train", "--valid"}) command->get_option(text)->required();
  command->add_flag("--json", options->json, "Print the manifest as JSON");
  command->footer(
      "A suite that was ended goes on when the same command is given again: what lies in OUT/data is not computed twice.\n"
      "With mpirun (where built with MPI) all ranks share the search for trigger examples; rank 0 does the rest.\n"
      "Example:\n"
      "  ffmem suite models/gpt2 --train wiki.train.txt --valid wiki.valid.txt -o report");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
