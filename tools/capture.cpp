// ffmem capture: what passes the inspection points while a text is run, as tensors in a safetensors file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "hooks/record.hpp"
#include "loaders/atomic_file.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "ops/version.hpp"
#include "runtime/output_head.hpp"
#include "runtime/session.hpp"
#include "tools/commands.hpp"
#include "tools/edit_text.hpp"
#include "tools/interrupt.hpp"
#include "tools/interventions.hpp"
#include "tools/leftovers.hpp"
#include "tools/model_files.hpp"
#include "tools/options.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  ModelArguments model;
  PromptArguments prompt;
  std::vector<std::string> points;
  std::string layers = ":";
  std::filesystem::path output;
  Interventions interventions;
};

void write_capture(const Options& options, const Model& model, const Record& record, std::span<const TokenId> tokens) {
  const std::vector<std::int64_t> ids(tokens.begin(), tokens.end());
  std::vector<TensorToWrite> tensors{{"tokens", DType::i64, {ids.size()}, ids.data()}};
  for (const auto& [point, layer] : record.recorded()) {
    const ConstMatrixView rows = record.at(point, layer);
    const bool plain = point != Point::logits || model.head().has_logits();
    tensors.push_back({plain ? tensor_name(point, layer) : "log_probs", DType::f32, {rows.rows, rows.cols}, rows.data});
  }
  write_safetensors(options.output, tensors,
                    {{"format", "pt"},
                     {"producer", concat("ffmem ", version())},
                     {"model", model_path_text(options.model.folder)},
                     {"weights", std::string(name(model.weight_mode()))},
                     {"interventions", options.interventions.text()}});
}

/// The model, the ids' file and the interventions' files.
std::vector<std::filesystem::path> input_files(const Options& options) {
  std::vector<std::filesystem::path> files = model_files(options.model.folder);
  files.push_back(options.prompt.tokens_file);
  for (auto& file : options.interventions.files()) files.push_back(std::move(file));
  return files;
}

void run(Options& options) {
  require_prompt(options.prompt, "--text, --tokens or --tokens-file");
  const ThreadScope threads(options.model.threads);
  const std::set<Point> points = parse_points(options.points);
  if (points.empty()) throw UsageError("--points: no point is named");
  check_is_no_input(options.output, input_files(options));
  check_storable(model_path_text(options.model.folder), options.model.folder);
  check_storable(options.interventions.text(), options.interventions.text());
  const auto model = load_model(options.model);
  const ModelConfig& config = model->config();
  const IndexRange layers = parse_layer_range(options.layers, config.n_layers);
  const auto tokenizer = options.prompt.text ? load_tokenizer(options.model, config) : nullptr;
  const std::vector<TokenId> tokens = prompt_tokens(options.prompt, options.model, config, tokenizer.get());
  if (tokens.size() > config.max_positions) {
    fail(ErrorCode::context_exceeded, "the text has ", tokens.size(), " tokens: the model's context is ", config.max_positions);
  }
  options.interventions.prepare(*model, tokens.size());
  // An output that cannot be written is told before the work.
  { const AtomicFile probe(options.output); }
  remove_leftovers(options.output);

  catch_interrupts();
  Record record({.points = points, .first_layer = layers.begin, .end_layer = layers.end});
  std::vector<Hook*> hooks = options.interventions.hooks();
  hooks.push_back(&record);  // last, so that it sees what the interventions left
  Session session(model, {.context = tokens.size(), .keep_cache = false, .n_threads = options.model.threads});
  session.run(tokens, LogitsRows::none, hooks);
  throw_if_interrupted();
  write_capture(options, *model, record, tokens);
}

}  // namespace

void add_capture(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("capture", "Write what passes the inspection points to a safetensors file");
  add_model_options(*command, options->model);
  CLI::Option* text = command->add_option("--text", options->prompt.text, "The text to run")->type_name("TEXT");
  CLI::Option* tokens =
      command->add_option("--tokens", options->prompt.tokens, "The same as token ids, \"5,17\" or \"5 17\"")->type_name("IDS");
  command->add_option("--tokens-file", options->prompt.tokens_file, "The same as a file of token ids")
      ->type_name("FILE")
      ->excludes(text)
      ->excludes(tokens);
  tokens->excludes(text);
  command->add_option("--points", options->points, "Points, comma separated; all: every one (repeatable)")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("POINT,..");
  command->add_option("--layers", options->layers, "Layers A to B - 1 (A:B, A:, :B), or a single one (A)")
      ->capture_default_str()
      ->type_name("A:B");
  command->add_option("-o,--out", options->output, "The file to write; it appears whole or not at all")
      ->required()
      ->type_name("FILE");
  options->interventions.add_options(*command);
  command->footer(
      "Points, in the order a layer reaches them: residual_pre, attention_out, residual_mid, ffn_in, key_scores,\n"
      "coefficients, ffn_out, residual_post; behind the last layer: final_hidden, logits. Tensors are float32\n"
      "[tokens, width], named POINT.LAYER (coefficients.3), final_hidden, logits (log_probs for a model with an adaptive\n"
      "softmax), and int64 tokens. They are kept in memory until they are written, 4 GiB at most: --layers takes fewer.\n" +
      std::string(kInterventionsHelp) +
      "Examples:\n"
      "  ffmem capture models/gpt2 --text \"Hello world\" --points coefficients --layers 3:6 -o hello.safetensors\n"
      "  ffmem capture models/gpt2 --tokens 15496,995 --points all -o all.safetensors");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
