// ffmem export: results in the forms that other programs read.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/export/authors_form.hpp"
#include "tools/export/neuron_records.hpp"
#include "tools/export/npy.hpp"
#include "tools/interrupt.hpp"
#include "tools/leftovers.hpp"
#include "tools/model_files.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/progress.hpp"
#include "tools/store_model.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  std::filesystem::path input;
  std::string format;
  std::filesystem::path out;
  ModelArguments model;
  std::filesystem::path values;
  std::string layers = ":";
  std::string units = ":";
  std::size_t top = static_cast<std::size_t>(-1);
  NeuronpediaNames names;
  bool quiet = false;
};

/// Shows how far the work is, and ends it where the user asked for that.
std::function<void(double)> reporter(Progress& progress) {
  return [&progress](double done) {
    throw_if_interrupted();
    progress.update(done);
  };
}

void run_npy(const Options& options) {
  const SafetensorsFile file(options.input);
  Progress progress("export", static_cast<double>(file.file_bytes()) / 1e6, "MB", options.quiet);
  export_npy(file, options.out, [report = reporter(progress)](std::size_t n) { report(static_cast<double>(n) / 1e6); });
}

ExportSelection selection(const Options& options, const TriggerStore& store) {
  ExportSelection selected{.layers = parse_layer_range(options.layers, store.n_layers()), .units = {}, .top = options.top};
  selected.units = parse_unit_range(options.units, store.d_memory());
  return selected;
}

void run_authors(const Options& options, const TriggerStore& store) {
  const ExportSelection selected = selection(options, store);
  Progress progress("export", static_cast<double>(selected.units.end - selected.units.begin), "lines", options.quiet);
  export_authors_form(store, selected, options.out,
                      [report = reporter(progress)](std::size_t n) { report(static_cast<double>(n)); });
}

void run_neuron_records(const Options& options, const TriggerStore& store) {
  const bool neuronpedia = options.format == "neuronpedia";
  if (store.info().smallest) {
    fail(ErrorCode::argument_invalid, store.path().string(), ": --format ", options.format,
         ": expected a search for the highest coefficients, which the form is about, found one for the most negative "
         "(--smallest)");
  }
  if (neuronpedia && (options.names.model.empty() || options.names.source_set.empty())) {
    throw UsageError("neuronpedia: --model-id and --source-set say what the model and the memories are called there");
  }
  const ExportSelection selected = selection(options, store);
  if (neuronpedia || options.out.extension() == ".jsonl") const AtomicFile probe(options.out);  // before the work
  std::optional<ValueTable> values;
  if (neuronpedia && !options.values.empty()) {
    values = read_value_table(options.values);
    check_values_of(store, *values, options.values);
  }
  const auto model = load_model_of(store, options.model);
  Progress progress("export", static_cast<double>(selected.n_keys()), "memories", options.quiet);
  if (neuronpedia) {
    export_neuronpedia(model, store, selected, values ? &*values : nullptr, options.names, options.out, reporter(progress));
  } else {
    export_openai(model, store, selected, options.out, reporter(progress));
  }
}

/// What a killed export left half written, beside OUT or in it.
void remove_leftovers_of(const Options& options) {
  constexpr std::array<std::string_view, 1> kTensors{".npy"};
  constexpr std::array<std::string_view, 1> kRecords{".json"};
  remove_leftovers(options.out);
  if (options.format == "npy") remove_leftovers_in(options.out, kTensors);
  if (options.format != "openai") return;
  std::error_code unlisted;  // the folder is not there
  for (const auto& layer : std::filesystem::directory_iterator(options.out / "neurons", unlisted)) {
    remove_leftovers_in(layer.path(), kRecords);
  }
}

/// An option that the form does not read would be believed to have acted.
void refuse_options_of_other_forms(const Options& options) {
  const auto refuse = [&](bool given, std::string_view option, std::string_view forms) {
    if (given && forms.find(options.format) == std::string_view::npos) {
      throw UsageError(concat(option, ": for --format ", forms, ", not ", options.format));
    }
  };
  const Options unset;
  refuse(options.layers != unset.layers, "--layers", "authors, openai or neuronpedia");
  refuse(options.units != unset.units, "--units", "authors, openai or neuronpedia");
  refuse(options.top != unset.top, "--top", "authors, openai or neuronpedia");
  refuse(!options.model.folder.empty(), "--model", "openai or neuronpedia");
  refuse(options.model.threads != unset.model.threads, "--threads", "openai or neuronpedia");
  refuse(!options.values.empty(), "--values", "neuronpedia");
  refuse(!options.names.model.empty(), "--model-id", "neuronpedia");
  refuse(!options.names.source_set.empty(), "--source-set", "neuronpedia");
}

void run(const Options& options) {
  refuse_options_of_other_forms(options);
  check_is_no_input(options.out, {options.input, options.values});
  const ThreadScope threads(options.model.threads);
  catch_interrupts();
  remove_leftovers_of(options);
  if (options.format == "npy") return run_npy(options);
  const TriggerStore store(options.input);
  const std::filesystem::path folder = find_model_folder(options.model.folder, store);
  if (!folder.empty()) check_is_no_input(options.out, model_files(folder));
  if (options.format == "authors") return run_authors(options, store);
  run_neuron_records(options, store);
}

void add_selection_options(CLI::App& command, Options& options) {
  command.add_option("--layers", options.layers, "Only these: 3, or 2:5 for 2 to 4 (not for npy)")->type_name("A:B");
  command.add_option("--units", options.units, "Only these of each layer, likewise")->type_name("A:B");
  check_count(command.add_option("--top", options.top, "Only the N best examples of a memory"), 1)->type_name("N");
}

void add_model_options_of_export(CLI::App& command, Options& options) {
  command
      .add_option("--model", options.model.folder,
                  "Model folder for openai and neuronpedia (default: the one that was searched)")
      ->type_name("FOLDER");
  add_threads_option(command, options.model.threads, "Threads to run it with (default: all there are)");
  command
      .add_option("--values", options.values,
                  "What ffmem values wrote, of the model and weights searched: neuronpedia's topLogits")
      ->type_name("FILE");
  command.add_option("--model-id", options.names.model, "Neuronpedia's name of the model")->type_name("ID");
  command.add_option("--source-set", options.names.source_set, "Neuronpedia's name of the memories: layer 3 is 3-NAME")
      ->type_name("NAME");
}

}  // namespace

void add_export(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("export", "Write results in the forms that other programs read");
  command->add_option("FILE", options->input, "What ffmem triggers wrote (for npy: any safetensors file)")->required();
  check_word(command->add_option("--format", options->format, "The form; see below"),
             {"authors", "openai", "neuronpedia", "npy"})
      ->required();
  command->add_option("-o,--out", options->out, "The file or folder to write")->required()->type_name("OUT");
  add_selection_options(*command, *options);
  add_model_options_of_export(*command, *options);
  command->add_flag("--quiet", options->quiet, "No progress");
  command->footer(
      "authors      JSONL, a line a unit: the top_values records that the scripts of Geva et al. read. token_indice counts\n"
      "             words, the beginning-of-text token before them included\n"
      "openai       neuron-explainer's NeuronRecord: OUT.jsonl, a record a line, or OUT/neurons/LAYER/UNIT.json. Has the\n"
      "             best examples only, no random sample, and their whole sentences, for which it runs the model\n"
      "neuronpedia  JSONL, each line at most 128 features of a layer, to be sent to Neuronpedia's api/feature/upload-batch.\n"
      "             topLogits are log-probabilities. Runs the model, as openai; like that, not for triggers --smallest\n"
      "npy          OUT/NAME.npy for every tensor of the file, for numpy.load; bf16 becomes f32\n"
      "Examples:\n"
      "  ffmem export triggers.safetensors --format authors -o top_values.jsonl\n"
      "  ffmem export triggers.safetensors --format openai --layers 3 --units 0:100 -o records\n"
      "  ffmem export triggers.safetensors --format neuronpedia --model-id gpt2-small --source-set ffmem-wiki -o upload.jsonl\n"
      "  ffmem export triggers.safetensors --format npy -o arrays");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
