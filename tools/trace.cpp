// ffmem trace: one prediction, layer by layer, on a screen.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/interventions.hpp"
#include "tools/json_text.hpp"
#include "tools/layer_trace.hpp"
#include "tools/lens.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kTokenColumns = 12;
constexpr std::size_t kContextTokens = 16;  // shown above the table

struct Options {
  ModelArguments model;
  PromptArguments prompt;
  std::optional<std::size_t> position;
  TraceOptions trace;
  std::string lens = "final-norm";
  Interventions interventions;
  bool json = false;
};

std::string_view lens_help(Lens lens) {
  return lens == Lens::raw ? "raw: vectors are scored by the output matrix as they are"
                           : "final-norm: vectors pass the model's final norm, then the output matrix";
}

class Printer {
 public:
  explicit Printer(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  std::string table(const Trace& trace, std::span<const TokenId> tokens, Lens lens) const {
    std::string text =
        fmt::format("position {}, after  {}\nlens        {}\nprediction ", tokens.size() - 1, context(tokens), lens_help(lens));
    for (const Prediction& p : trace.model) text += fmt::format(" {} {:.1f}%", token(p.token), 100.0 * p.probability);
    text += fmt::format("\n\n{:<6}{:<20}{:<20}{:<20}{}\n", "", "residual_mid", "ffn_out", "residual_post",
                        "strongest memories |m||v|: unit, m, tokens of m v");
    for (std::size_t layer = 0; layer < trace.layers.size(); ++layer) append_layer(text, layer, trace.layers[layer]);
    return text;
  }

  std::vector<std::optional<std::string>> texts(std::span<const TokenId> tokens) const {
    std::vector<std::optional<std::string>> texts;
    for (const TokenId id : tokens) texts.push_back(token_bytes(tokenizer_, id));
    return texts;
  }

  Json json(const Prediction& p) const {
    return token_json(p.token, token_bytes(tokenizer_, p.token)).add("probability", p.probability).json();
  }
  Json json(const std::vector<Prediction>& ps) const {
    std::vector<Json> all;
    all.reserve(ps.size());
    for (const Prediction& p : ps) all.push_back(json(p));
    return to_json(all);
  }
  Json json(const TracedMemory& m) const {
    return JsonObject()
        .add("unit", m.unit)
        .add("coefficient", m.coefficient)
        .add("strength", m.strength)
        .add("negated", m.coefficient < 0.0F)
        .add("promotes", json(m.tokens))
        .json();
  }

 private:
  std::string token(TokenId id) const { return visible_token(tokenizer_, id, kTokenColumns); }

  std::string context(std::span<const TokenId> tokens) const {
    const std::size_t n = std::min(tokens.size(), kContextTokens);
    std::string text = n < tokens.size() ? "\u2026 " : "";
    for (const TokenId id : tokens.last(n)) text += token(id) + " ";
    return text;
  }

  std::string cell(const Prediction& p) const {
    return fmt::format("{:<{}} {:>5.1f}%", token(p.token), kTokenColumns, 100.0 * p.probability);
  }

  void append_layer(std::string& text, std::size_t number, const TracedLayer& layer) const {
    text += fmt::format("{:>4}  {:<20}{:<20}{:<20}", number, cell(layer.residual_mid), cell(layer.ffn_out),
                        cell(layer.residual_post));
    for (std::size_t i = 0; i < layer.memories.size(); ++i) {
      const TracedMemory& memory = layer.memories[i];
      if (i > 0) text += fmt::format("\n{:<66}", "");
      text += fmt::format("{:>6} {:>+8.2f} ", memory.unit, memory.coefficient);
      for (const Prediction& p : memory.tokens) text += fmt::format(" {}", token(p.token));
    }
    text += "\n";
  }

  const Tokenizer* tokenizer_;
};

std::string as_json(const Trace& trace, const Printer& printer, std::span<const TokenId> tokens, Lens lens) {
  std::vector<Json> layers;
  for (const TracedLayer& layer : trace.layers) {
    std::vector<Json> memories;
    for (const TracedMemory& memory : layer.memories) memories.push_back(printer.json(memory));
    layers.push_back(JsonObject()
                         .add("layer", layers.size())
                         .add("residual_mid", printer.json(layer.residual_mid))
                         .add("ffn_out", printer.json(layer.ffn_out))
                         .add("residual_post", printer.json(layer.residual_post))
                         .add("memories", memories)
                         .json());
  }
  return JsonObject()
      .add("tokens", tokens)
      .add("texts", printer.texts(tokens))
      .add("position", tokens.size() - 1)
      .add("lens", lens_name(lens))
      .add("prediction", printer.json(trace.model))
      .add("layers", layers)
      .line();
}

void run(Options& options) {
  require_prompt(options.prompt, "TEXT or --tokens");
  const ThreadScope threads(options.model.threads);
  const auto [model, tokenizer] = load_model_and_tokenizer(options.model);
  const ModelConfig& config = model->config();
  std::vector<TokenId> tokens = prompt_tokens(options.prompt, options.model, config, tokenizer.get());
  if (options.position && *options.position >= tokens.size()) {
    fail(ErrorCode::position_out_of_range, "--position ", *options.position, ": the text has positions 0 to ",
         tokens.size() - 1);
  }
  // What stands behind the position has no influence on it.
  if (options.position) tokens.resize(*options.position + 1);
  if (tokens.size() > config.max_positions) {
    fail(ErrorCode::context_exceeded, "the text has ", tokens.size(), " tokens: the model's context is ", config.max_positions);
  }
  options.interventions.prepare(*model, tokens.size());
  options.trace.n_threads = options.model.threads;
  options.trace.lens = lens_from_name(options.lens);
  const Trace result = trace(model, tokens, options.trace, options.interventions.hooks());
  if (std::isnan(result.model.front().probability)) {
    fail(ErrorCode::argument_invalid, options.model.folder.string(),
         ": the prediction is not a number: do weights or interventions hold NaN?");
  }
  const Printer printer(tokenizer.get());
  const Lens lens = options.trace.lens;
  write_out(options.json ? as_json(result, printer, tokens, lens) : printer.table(result, tokens, lens));
}

}  // namespace

void add_trace(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("trace", "See one prediction form, layer by layer");
  add_model_options(*command, options->model);
  CLI::Option* text =
      command->add_option("TEXT", options->prompt.text, "The text whose next token is predicted")->type_name("");
  command->add_option("--tokens", options->prompt.tokens, "The same as token ids, \"5,17\" or \"5 17\"")
      ->type_name("IDS")
      ->excludes(text);
  check_count(command->add_option("--position", options->position, "Trace this position (default: the last)"))->type_name("P");
  check_count(command->add_option("--memories", options->trace.n_memories, "Strongest memories shown of each layer"))
      ->capture_default_str()
      ->type_name("N");
  check_count(
      command->add_option("--tokens-shown", options->trace.n_tokens, "Tokens shown of each memory and of the prediction"), 1)
      ->capture_default_str()
      ->type_name("K");
  check_word(command->add_option(
                 "--lens", options->lens,
                 "How vectors are scored: by the output matrix alone (raw, the paper's definition), or behind the model's\n"
                 "final norm (final-norm). The same where a model has no final norm"),
             {"raw", "final-norm"})
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object");
  options->interventions.add_options(*command);
  command->footer(
      "residual_mid: the stream the feed-forward output is added to; ffn_out: that output; residual_post: the layer's output.\n"
      "Each is shown with the token it would predict. A memory's strength is |m| |v|; its tokens are those that v promotes "
      "or,\n"
      "where m is negative, -v; in --json with the probabilities of v or -v alone.\n" +
      std::string(kInterventionsHelp) +
      "Examples:\n"
      "  ffmem trace models/gpt2 \"The capital of France is\"\n"
      "  ffmem trace models/gpt2 \"The capital of France is\" --lens raw --memories 4 --zero coefficients:5:17");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
