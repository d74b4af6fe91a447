// ffmem experiment: one of the paper's experiments.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/experiments/command_line.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/manifest.hpp"
#include "tools/interrupt.hpp"
#include "tools/output.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  std::string name;
  bool json = false;
  std::shared_ptr<ExperimentOptions> experiment = std::make_shared<ExperimentOptions>();
};

const Experiment& named(const std::string& name) {
  try {
    return experiment_from_name(name);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

void run(const Options& options) {
  const ThreadScope threads(options.experiment->model.threads);
  catch_interrupts();
  const Experiment& experiment = named(options.name);
  experiment.require_text(*options.experiment);  // before a model is loaded and a folder made
  Workbench bench(*options.experiment);
  if (rank() > 0) return bench.assist_rank_0();
  Timings timings;
  const std::filesystem::path& out = bench.options().out;
  const FormerFiles former = std::filesystem::exists(out / "report.html") ? FormerFiles::stay : FormerFiles::go;
  const Result result = write_result(out, timed(timings, experiment.name, [&] { return experiment.run(bench); }), former);
  write_file(out / result.name / "manifest.json", manifest(bench, result.settings, timings));
  if (!result.figures_drawn) warn_of_no_gnuplot();
  if (options.json) {
    write_out(to_json_text(result));
  } else {
    write_out(result.run_found + "\n" + (out / result.name).string() + "\n");
  }
}

std::string names_and_summaries() {
  std::string text = "Experiments (sections of Geva et al. 2021):\n";
  for (const Experiment& experiment : all_experiments()) {
    text += fmt::format("  {:<23} {}\n", experiment.name, experiment.summary);
  }
  return text;
}

}  // namespace

void add_experiment(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("experiment", "Run one of the paper's experiments");
  command->add_option("NAME", options->name, "Which one; see below")->required();
  add_experiment_options(*command, options->experiment);
  command->add_flag("--json", options->json, "Print the result as JSON");
  command->footer(names_and_summaries() +
                  "Figures, tables and results count layers from 1, as the paper does; arrays in OUT/data from 0:\n"
                  "the source's tools/FILES.md tells every one.\n"
                  "With mpirun (where built with MPI) all ranks share the search for trigger examples; rank 0 does the rest.\n"
                  "Example:\n"
                  "  ffmem experiment token-removal models/gpt2 --train train.txt -o report");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
