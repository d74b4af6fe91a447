// ffmem show: one memory on the screen: what triggers its key, what its value promotes.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "ops/error.hpp"
#include "tools/commands.hpp"
#include "tools/json_text.hpp"
#include "tools/lens.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/store_model.hpp"
#include "tools/token_text.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"
#include "tools/value_tokens.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kValueTokens = 10;

struct Options {
  std::filesystem::path store;
  std::size_t layer = 0;
  std::size_t unit = 0;
  std::size_t top = 25;
  ModelArguments model;
  std::string lens = "raw";
  bool json = false;
};

std::string token_text(const TriggerStore& store, TokenId token) {
  return visible_text(text_or_number(store.token_bytes(token), token));
}

/// Nothing where the vocabulary has no such token.
std::optional<std::string> bytes_of(const TriggerStore& store, TokenId token) {
  const std::string_view bytes = store.token_bytes(token);
  return bytes.empty() ? std::nullopt : std::optional<std::string>(bytes);
}

/// The trigger token, bold on a terminal, in brackets elsewhere; its leading space stays outside.
std::string marked(std::string_view bytes, bool terminal) {
  const std::string space = bytes.starts_with(' ') && bytes.size() > 1 ? " " : "";
  const std::string text = readable_text(bytes.substr(space.size()));
  return space + (terminal ? "\x1b[1;7m" + text + "\x1b[0m" : "[[" + text + "]]");
}

std::optional<TopTokens> value_tokens(const Options& options, const TriggerStore& store) {
  std::shared_ptr<const Model> model;
  try {
    model = load_model_of(store, options.model);
  } catch (const Error& error) {
    if (!options.model.folder.empty() || error.code() == ErrorCode::argument_invalid) throw;
    note(concat("note: ", error.what(), "; the value's tokens are left out"));
    return std::nullopt;
  }
  return value_top_tokens(*model, options.layer, options.unit, 1, kValueTokens, lens_from_name(options.lens),
                          example_sign(store.info().smallest));
}

std::string as_text(const Options& options, const TriggerStore& store, const std::vector<TriggerStore::Example>& examples,
                    const std::optional<TopTokens>& value) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const TriggerInfo& info = store.info();
  const bool smallest = info.smallest;
  std::string text = fmt::format("layer {}, unit {}{}{}: ", options.layer, options.unit,
                                 info.weights == "f32" ? "" : concat(" (", info.weights, " weights)"),
                                 info.shards.whole() ? "" : concat(" (shards ", info.shards.text(), " of the corpus)"));
  if (examples.empty()) {
    text += smallest ? "the key was never negative\n" : "the key never fired\n";
  } else {
    text += fmt::format("{}coefficient, trigger prefix, next token, or (end) of what was read of the sentence\n",
                        smallest ? "the most negative coefficients: " : "");
    if (const auto first = store.info().prefix_token) {
      text += fmt::format("(each sentence read behind {}, token {})\n", token_text(store, *first), *first);
    }
  }
  for (const auto& example : examples) {
    text += fmt::format("{:9.4f}  {}{} {} {}\n", example.coefficient,
                        readable_text(store.bytes(example.prefix.first(example.prefix.size() - 1))),
                        marked(text_or_number(store.token_bytes(example.prefix.back()), example.prefix.back()), terminal),
                        "\u2192", example.next ? token_text(store, *example.next) : "(end)");
  }
  if (!value) return text;
  text += fmt::format("value{} (lens {}): probability, token\n", smallest ? " negated, as a negative coefficient adds it" : "",
                      options.lens);
  return text + value_tokens_text(*value, [&](TokenId token) { return bytes_of(store, token); });
}

Json example_json(const TriggerStore& store, const TriggerStore::Example& example) {
  const auto token = [&](TokenId id) { return token_json(id, bytes_of(store, id)).json(); };
  return JsonObject()
      .add("coefficient", example.coefficient)
      .add("sentence", example.sentence)
      .add("position", example.prefix.size() - 1)
      .add("tokens", example.prefix)
      .add("text", store.bytes(example.prefix))
      .add("trigger", token(example.prefix.back()))
      .add("next", example.next ? token(*example.next) : Json{"null"})
      .json();
}

std::string as_json(const Options& options, const TriggerStore& store, const std::vector<TriggerStore::Example>& examples,
                    const std::optional<TopTokens>& value) {
  std::vector<Json> example_list;
  example_list.reserve(examples.size());
  for (const auto& example : examples) example_list.push_back(example_json(store, example));
  JsonObject json;
  json.add("layer", options.layer)
      .add("unit", options.unit)
      .add("model", store.info().model)
      .add("model_fingerprint", store.info().model_fingerprint)
      .add("weights", store.info().weights)
      .add("corpus", store.info().corpus)
      .add("shards", store.info().shards.text())
      .add("smallest", store.info().smallest)
      .add("prefix_token", store.info().prefix_token)
      .add("examples", example_list);
  if (!value) return json.add("value", Json{"null"}).line();
  return json
      .add("value", JsonObject()
                        .add("lens", options.lens)
                        .add("negated", store.info().smallest)
                        .add("promotes", value_tokens_json(*value, [&](TokenId token) { return bytes_of(store, token); }))
                        .json())
      .line();
}

void run(const Options& options) {
  const TriggerStore store(options.store);
  const auto examples = store.examples(options.layer, options.unit, options.top);
  const auto value = value_tokens(options, store);
  write_out(options.json ? as_json(options, store, examples, value) : as_text(options, store, examples, value));
}

}  // namespace

void add_show(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("show", "Show one memory: what triggers its key, what its value promotes");
  command->add_option("TRIGGERS", options->store, "A file that ffmem triggers wrote")->required();
  check_count(command->add_option("LAYER", options->layer, "From 0"))->required()->type_name("");
  check_count(command->add_option("UNIT", options->unit, "From 0"))->required()->type_name("");
  check_count(command->add_option("--top", options->top, "Trigger examples shown at most"), 1)
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--model", options->model.folder, "Model folder (default: the one that was searched, if it is there)")
      ->type_name("FOLDER");
  check_word(
      command->add_option("--lens", options->lens, "raw (v . E, the paper's) or final-norm (the model's final norm first)"),
      {"raw", "final-norm"})
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(
      "Of a search for the most negative coefficients (--smallest) the value's tokens are those that the negated value "
      "promotes.\n"
      "An example's tokens and position leave out the token that the search fed before each sentence (\"prefix_token\" in the\n"
      "JSON). To see an example's coefficient again, put it in front:\n"
      "  ffmem trace MODEL --tokens PREFIX_TOKEN,TOKEN,...\n"
      "Example:\n"
      "  ffmem show triggers.safetensors 3 17 --top 10");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
