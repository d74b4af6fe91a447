// ffmem suite: every experiment of the paper, one folder that a person opens and a program reads.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/experiments/command_line.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/manifest.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/experiments/suite_report.hpp"
#include "tools/interrupt.hpp"
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
      {"Agreement is sought among",
       options.agreeing == AgreeingMemories::active ? "memories with a coefficient other than 0" : "all memories"},
      {"Lens of values and feed-forward outputs", std::string(lens_name(options.value_lens))},
      {"Lens of the residual stream", std::string(lens_name(options.stream_lens))},
      {"Seed", std::to_string(options.seed)}};
}

std::vector<Result> run_experiments(Workbench& bench, Timings& timings) {
  std::vector<Result> results;
  for (const Experiment& experiment : all_experiments()) {
    throw_if_interrupted();
    if (!bench.options().quiet) note(experiment.name);
    Result result = timed(timings, experiment.name, [&] { return experiment.run(bench); });
    results.push_back(write_result(bench.options().out, std::move(result)));
  }
  if (!std::ranges::all_of(results, &Result::figures_drawn)) warn_of_no_gnuplot();
  return results;
}

void write_pages(Workbench& bench, const Facts& about) {
  const NearestValues nearest = nearest_values(bench, kNearestValues);
  const CoefficientHistogram histogram = coefficient_histogram(bench);
  write_memory_pages(bench.options().out / "memories", {.triggers = bench.triggers(),
                                                        .values = bench.values(bench.example_sign()),
                                                        .nearest = nearest,
                                                        .histogram = histogram,
                                                        .model_name = bench.model_name(),
                                                        .about = about});
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
  timed(timings, "value table", [&] { bench.values(bench.example_sign()); });
  // Of a former run, whose figures are drawn anew below.
  for (const char* page : {"report.html", "manifest.json"}) remove_file(asked.out / page);
  const std::vector<Result> results = run_experiments(bench, timings);
  const Facts facts = describe(bench);
  timed(timings, "memory pages", [&] { write_pages(bench, facts); });
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
      "Figures, tables and results count layers from 1, as the paper does; arrays in OUT/data from 0:\n"
      "the source's tools/FILES.md tells every one.\n"
      "With mpirun (where built with MPI) all ranks share the search for trigger examples; rank 0 does the rest.\n"
      "Example:\n"
      "  ffmem suite models/gpt2 --train wiki.train.txt --valid wiki.valid.txt -o report");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
