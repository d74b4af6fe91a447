// ffmem report: a page of each layer's most telling memories, out of a trigger store and a value table.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "runtime/model.hpp"
#include "tools/commands.hpp"
#include "tools/leftovers.hpp"
#include "tools/option_checks.hpp"
#include "tools/output.hpp"
#include "tools/report/page.hpp"
#include "tools/report/summary.hpp"
#include "tools/store_model.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  std::filesystem::path triggers;
  std::filesystem::path values;
  std::filesystem::path out;
  SummaryOptions summary;
};

void check_values(const TriggerStore& store, const ValueTable& values, const Options& options) {
  check_values_of(store, values, options.values);
  if (values.first_layer == 0 && values.n_layers == store.n_layers() && values.d_memory == store.d_memory()) return;
  fail(ErrorCode::store_invalid, options.values.string(), ": expected the values of all ", store.n_layers(), " layers of ",
       store.d_memory(), ", found ", values.n_layers, " layers from ", values.first_layer, " on, of ", values.d_memory);
}

/// The model folder's own name, also where the search was given it as ".".
std::string model_name(const TriggerStore& store) {
  const std::string name = std::filesystem::path(store.info().model).filename().string();
  if (name != "." && name != "..") return name;
  const std::filesystem::path folder = find_model_folder({}, store);
  return folder.empty() ? "model " + store.info().model_fingerprint : std::filesystem::canonical(folder).filename().string();
}

Page make_page(const TriggerStore& store, const ValueTable& values, const SummaryOptions& options) {
  const TriggerInfo& info = store.info();
  Page page{.title = "The memories of " + model_name(store),
            .facts = {},
            .top = store.top(),
            .least_examples = least_examples(store),
            .every_prefix = info.every_prefix,
            .smallest = info.smallest,
            .lens = {},
            .layers = {}};
  page.lens = values.lens == Lens::raw ? "each value times the output embedding, no norm: the paper's definition"
                                       : "each value through the final norm, then the output embedding";
  page.facts = {
      {"Model", fmt::format("{} (fingerprint {})", info.model, info.model_fingerprint)},
      {"Weights", info.weights},
      {"Memories", fmt::format("{} layers of {}", store.n_layers(), store.d_memory())},
      {"Corpus", fmt::format("{} (fingerprint {})", fmt::join(info.corpus, ", "), info.corpus_fingerprint)},
      {"Searched", fmt::format("{} sentences, {} tokens{}{}", info.counts.n_sentences, info.counts.n_tokens,
                               info.every_prefix ? ", every prefix" : ", of each sentence its best prefix for a key",
                               info.smallest ? ", for the most negative coefficients" : "")},
      {info.smallest ? "Keys that were never negative" : "Keys that never fired", std::to_string(store.n_keys_never_fired())}};
  if (!info.shards.whole()) page.facts.emplace_back("Part of the corpus", "shards " + info.shards.text());
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    page.layers.push_back(summarise_layer(store, values, layer, options));
  }
  return page;
}

void run(const Options& options) {
  check_is_no_input(options.out, {options.triggers, options.values});
  const TriggerStore store(options.triggers);
  const ValueTable values = read_value_table(options.values);
  check_values(store, values, options);
  remove_leftovers(options.out);
  write_file(options.out, render_page(make_page(store, values, options.summary)));
  write_out(options.out.string() + "\n");
}

}  // namespace

void add_report(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", "Write a page of each layer's most telling memories");
  command->add_option("--triggers", options->triggers, "What ffmem triggers wrote")->required()->type_name("FILE");
  command->add_option("--values", options->values, "What ffmem values wrote, of all layers (--negated for triggers --smallest)")
      ->required()
      ->type_name("FILE");
  command->add_option("-o,--out", options->out, "The page to write (HTML, one file, opens from disk)")
      ->required()
      ->type_name("FILE");
  check_count(command->add_option("--memories", options->summary.memories, "Memories shown of each layer"), 1)
      ->capture_default_str()
      ->type_name("N");
  check_count(command->add_option("--examples", options->summary.examples, "Trigger examples shown of each memory"))
      ->capture_default_str()
      ->type_name("N");
  command->footer(
      "Half of a layer's memories are chosen by how often their value's top token follows their trigger examples, half by how\n"
      "often these end in one token, among those with at least 10 examples (or as many as the search kept of a key).\n"
      "Example:\n"
      "  ffmem report --triggers triggers.safetensors --values values.safetensors -o report.html");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
