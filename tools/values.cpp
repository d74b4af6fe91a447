// ffmem values: the tokens that each value promotes, with their probabilities (paper section 4).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "loaders/atomic_file.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/lens.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/progress.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  ModelArguments model;
  std::filesystem::path out;
  std::size_t top = 10;
  std::string lens = "raw";
  std::string layers = ":";
  bool json = false;
  bool quiet = false;
};

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  catch_interrupts();
  { const AtomicFile writable(options.out); }  // before the work, not after it
  const auto model = load_model(options.model);
  const LayerRange layers = parse_layer_range(options.layers, model->config().n_layers);
  ValueTable table{.first_layer = layers.begin,
                   .n_layers = layers.end - layers.begin,
                   .d_memory = model->config().d_memory,
                   .k = options.top,
                   .lens = lens_from_name(options.lens),
                   .model = model_name_of(options.model.folder),
                   .model_fingerprint = model_fingerprint(options.model.folder, weight_files(*model)),
                   .weights = std::string(name(model->weight_mode())),
                   .tokens = {},
                   .probabilities = {}};
  const std::size_t n_values = table.n_layers * table.d_memory;
  Progress progress("values", static_cast<double>(n_values), "values", options.quiet);
  compute_values(*model, table, [&](std::size_t n_done) {
    progress.update(static_cast<double>(n_done));
    throw_if_interrupted();
  });
  write_value_table(options.out, table);
  if (options.json) {
    write_out(JsonObject()
                  .add("out", options.out)
                  .add("values", n_values)
                  .add("top", table.k)
                  .add("lens", lens_name(table.lens))
                  .add("seconds", progress.seconds())
                  .line());
  }
}

}  // namespace

void add_values(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("values", "Find the tokens that each value promotes");
  add_model_options(*command, options->model);
  command->add_option("-o,--out", options->out, "The table to write (safetensors)")->required()->type_name("FILE");
  command->add_option("--top", options->top, "Tokens kept for each value")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str()
      ->type_name("K");
  command->add_option("--lens", options->lens, "raw (v . E, the paper's) or final-norm (the model's final norm first)")
      ->check(CLI::IsMember({"raw", "final-norm"}))
      ->capture_default_str();
  command->add_option("--layers", options->layers, "Layer A, or layers A to B - 1 (default: all)")->type_name("A:B");
  command->add_flag("--json", options->json, "One JSON line at the end");
  command->add_flag("--quiet", options->quiet, "No progress");
  command->footer("Example:\n  ffmem values models/gpt2 -o values.safetensors --top 10");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
