// ffmem generate: continues a text, token by token, with interventions if asked for.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>

#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "runtime/generation.hpp"
#include "tools/commands.hpp"
#include "tools/continuation_text.hpp"
#include "tools/interrupt.hpp"
#include "tools/interventions.hpp"
#include "tools/json_text.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/stop_strings.hpp"

namespace ffmem::tools {
namespace {

/// Longer prompts are run in pieces, so that the workspace stays small.
constexpr std::size_t kMaxRunTokens = 1024;

struct Options {
  ModelArguments model;
  PromptArguments prompt;
  SamplingOptions sampling;
  Interventions interventions;
  std::size_t max_new = 64;
  std::vector<std::string> stops;
  bool ignore_eos = false;
  bool json = false;
};

/// The new tokens as text, shown as far as no stop string can begin in it. Without a tokenizer: their ids.
class TextOutput {
 public:
  TextOutput(const Tokenizer* tokenizer, std::span<const TokenId> prompt, const Options& options)
      : stops_(options.stops), silent_(options.json) {
    if (tokenizer != nullptr) continuation_.emplace(*tokenizer, prompt);
  }

  /// False where a stop string ends the text.
  bool push(TokenId token) {
    show(continuation_ ? stops_.push(continuation_->push(token)) : std::to_string(token) + " ");
    return !stops_.found() && !stop_is_held_back();
  }

  void finish() {
    if (continuation_) show(stops_.push(continuation_->finish()) + stops_.finish());
    if (!silent_) write_out("\n");
  }

  const std::string& text() const noexcept { return text_; }
  bool stopped() const noexcept { return stops_.found(); }

 private:
  /// Whether a stop string is in what the decoder holds back (a byte that may become part of a character).
  bool stop_is_held_back() const {
    if (stops_.empty() || !continuation_->holds()) return false;
    StopStrings ahead = stops_;
    ahead.push(continuation_->rest());
    return ahead.found();
  }

  void show(const std::string& piece) {
    text_ += piece;
    if (silent_ || piece.empty()) return;
    write_out(piece);
    flush_out();
  }

  std::optional<ContinuationText> continuation_;
  StopStrings stops_;
  bool silent_;
  std::string text_;
};

/// max_new, or fewer where the context ends before. The last new token is never run, so it needs no position.
std::size_t bounded_max_new(const Options& options, std::size_t n_prompt, std::size_t context) {
  if (n_prompt > context) {
    fail(ErrorCode::context_exceeded, "the prompt has ", n_prompt, " tokens: the model's context is ", context);
  }
  const std::size_t room = context - n_prompt + 1;
  if (options.max_new > room) {
    note(fmt::format("note: the context of {} tokens leaves room for {} new ones", context, room));
  }
  return std::min(options.max_new, room);
}

std::string_view end_name(Generation::End end, bool stopped) {
  if (stopped) return "stop";
  switch (end) {
    case Generation::End::end_token:
      return "eos";
    case Generation::End::caller:
      return "interrupted";
    default:
      return "length";
  }
}

void print_speed(const Generation& result) {
  const auto rate = [](std::size_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0.0; };
  const std::size_t n_decoded = result.tokens.empty() ? 0 : result.tokens.size() - 1;  // the first comes with the prompt
  std::string line = fmt::format("prompt of {} tokens in {:.3f} s ({:.1f} tokens/s)", result.prompt_tokens,
                                 result.prompt_seconds, rate(result.prompt_tokens, result.prompt_seconds));
  if (n_decoded > 0) {
    line += fmt::format(", {} new tokens in {:.3f} s ({:.1f} tokens/s)", result.tokens.size(), result.decode_seconds,
                        rate(n_decoded, result.decode_seconds));
  }
  note(line);
}

void run(Options& options) {
  require_prompt(options.prompt, "--prompt or --tokens");
  if (options.sampling.top_p == 0.0F) throw UsageError("--top-p: expected a number above 0 and at most 1, found 0");
  const ThreadScope threads(options.model.threads);
  const auto [model, tokenizer] = load_model_and_tokenizer(options.model);
  const ModelConfig& config = model->config();
  if (!options.stops.empty() && !tokenizer) throw UsageError("--stop needs a model with a tokenizer");
  const std::vector<TokenId> prompt = prompt_tokens(options.prompt, options.model, config, tokenizer.get());

  GenerationOptions generation{.sampling = options.sampling,
                               .max_new_tokens = bounded_max_new(options, prompt.size(), config.max_positions),
                               .end_tokens = {},
                               .max_run_tokens = kMaxRunTokens};
  if (!options.ignore_eos) generation.end_tokens = config.all_eos;
  const std::size_t n_positions = prompt.size() + std::max<std::size_t>(generation.max_new_tokens, 1) - 1;
  options.interventions.prepare(*model, n_positions);
  Session session(
      model,
      {.context = n_positions, .max_batch_tokens = std::min(prompt.size(), kMaxRunTokens), .n_threads = options.model.threads});

  catch_interrupts();
  TextOutput output(tokenizer.get(), prompt, options);
  const auto on_token = [&](TokenId token) { return output.push(token) && !interrupted(); };
  const Generation result = generate(session, prompt, generation, on_token, options.interventions.hooks());
  output.finish();
  if (options.json) {
    const Json text = tokenizer ? to_json(output.text()) : Json{"null"};
    const std::string_view end = end_name(result.end, output.stopped());
    write_out(JsonObject().add("tokens", result.tokens).add("text", text).add("end", end).line());
  }
  flush_out();
  print_speed(result);
  throw_if_interrupted();
}

void add_sampling_options(CLI::App& command, SamplingOptions& sampling) {
  check_number(command.add_option("--temperature", sampling.temperature, "Sample at this temperature; 0: take the best token"),
               0.0)
      ->capture_default_str()
      ->type_name("T");
  check_count(command.add_option("--top-k", sampling.top_k, "Sample among the K best tokens; 0: among all"))
      ->capture_default_str()
      ->type_name("K");
  check_number(command.add_option("--top-p", sampling.top_p, "Sample among the best tokens that reach probability P in sum"),
               0.0, 1.0)
      ->capture_default_str()
      ->type_name("P");
  check_count(command.add_option("--seed", sampling.seed, "Seed of the sampling; the same seed gives the same text"))
      ->capture_default_str()
      ->type_name("N");
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Continue a text");
  add_model_options(*command, options->model);
  CLI::Option* text = command->add_option("--prompt", options->prompt.text, "The text to continue; \"\": start from nothing")
                          ->type_name("TEXT");
  command->add_option("--tokens", options->prompt.tokens, "The same as token ids, \"5,17\" or \"5 17\"")
      ->type_name("IDS")
      ->excludes(text);
  check_count(command->add_option("--max-new", options->max_new, "New tokens at most"))->capture_default_str()->type_name("N");
  add_sampling_options(*command, options->sampling);
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on behind an end-of-text token");
  command->add_option("--stop", options->stops, "End the text before this string (repeatable)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("STRING");
  command->add_flag("--json", options->json,
                    "One JSON line: tokens (ids of the new ones), text, end (length, eos, stop or interrupted)");
  options->interventions.add_options(*command);
  command->footer("The new text goes to standard output as it comes, speeds to standard error.\n" +
                  std::string(kInterventionsHelp) +
                  "Examples:\n"
                  "  ffmem generate models/gpt2 --prompt \"The capital of France is\"\n"
                  "  ffmem generate models/gpt2 --prompt \"Once\" --temperature 0.8 --top-p 0.95 --seed 7\n"
                  "  ffmem generate models/gpt2 --prompt \"Once\" --zero ffn_out:3 --scale coefficients:5:17=4");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
