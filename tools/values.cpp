// ffmem values: the tokens that each value promotes, with their probabilities, and where given tokens stand (paper section 4).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <span>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/commands.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/leftovers.hpp"
#include "tools/lens.hpp"
#include "tools/model_files.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/progress.hpp"
#include "tools/token_text.hpp"
#include "tools/value_table.hpp"
#include "tools/value_tokens.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kMostTokens = 100'000;

struct Options {
  ModelArguments model;
  std::filesystem::path out;
  std::size_t top = 10;
  std::string lens = "raw";
  bool negated = false;
  std::string layers = ":";
  std::vector<std::string> tokens;
  std::vector<std::string> units;
  bool json = false;
  bool quiet = false;
};

constexpr std::size_t kShownMemories = 10;

/// The token that is written so in the vocabulary; where there is none, the one that the tokenizer makes of the text. Throws
/// argument_invalid where that is more than one, or none.
TokenId id_of(const std::string& text, const Tokenizer& tokenizer) {
  for (std::size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (token_bytes(&tokenizer, static_cast<TokenId>(id)) == text) return static_cast<TokenId>(id);
  }
  const std::vector<TokenId> tokens = tokenizer.encode(text);
  if (tokens.size() == 1) return tokens.front();
  std::string found;
  for (const TokenId token : tokens) found += (found.empty() ? ": " : ", ") + visible_token(&tokenizer, token);
  fail(ErrorCode::argument_invalid, "--token '", text, "': expected a text of one token, found ", tokens.size(), found);
}

/// A memory whose value gives a token that was asked for a high probability.
struct Promoter {
  std::size_t layer;
  std::size_t unit;
  float probability;
  std::int32_t rank;
};

/// Those of the a-th token asked for, the highest probability first.
std::vector<Promoter> promoters(const ValueTable& table, std::size_t a) {
  const std::size_t n_values = table.n_layers * table.d_memory;
  const auto probability = [&](std::size_t value) { return table.asked_probabilities[value * table.asked.size() + a]; };
  std::vector<std::size_t> order(n_values);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t n_shown = std::min(kShownMemories, n_values);
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(n_shown), [&](std::size_t x, std::size_t y) {
    return probability(x) != probability(y) ? probability(x) > probability(y) : x < y;
  });
  std::vector<Promoter> best;
  for (const std::size_t value : std::span(order).first(n_shown)) {
    best.push_back({.layer = table.first_layer + value / table.d_memory,
                    .unit = value % table.d_memory,
                    .probability = probability(value),
                    .rank = table.asked_ranks[value * table.asked.size() + a]});
  }
  return best;
}

std::string promoters_text(const ValueTable& table, const Tokenizer& tokenizer) {
  std::string text;
  for (std::size_t a = 0; a < table.asked.size(); ++a) {
    text += fmt::format("{} (token {}) is likeliest by {}values of\n  layer   unit  probability    rank\n",
                        visible_token(&tokenizer, table.asked[a]), table.asked[a],
                        table.sign == ValueSign::minus ? "negated " : "");
    for (const Promoter& p : promoters(table, a)) {
      text += fmt::format("{:>7}{:>7}{:>13.4g}{:>8}\n", p.layer, p.unit, p.probability, p.rank);
    }
  }
  return text;
}

Json promoters_json(const ValueTable& table, const Tokenizer* tokenizer) {
  std::vector<Json> tokens;
  for (std::size_t a = 0; a < table.asked.size(); ++a) {
    std::vector<Json> memories;
    for (const Promoter& p : promoters(table, a)) {
      memories.push_back(
          JsonObject().add("layer", p.layer).add("unit", p.unit).add("probability", p.probability).add("rank", p.rank).json());
    }
    const TokenId id = table.asked[a];
    tokens.push_back(token_json(id, token_bytes(tokenizer, id)).add("memories", memories).json());
  }
  return to_json(tokens);
}

struct Memory {
  std::size_t layer;
  std::size_t unit;
};

Memory parse_memory(const std::string& text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  if (colon == text.size()) throw UsageError(concat("--unit: expected LAYER:UNIT, found '", text, "'"));
  return {parse_count(text.substr(0, colon), "--unit: layer"), parse_count(text.substr(colon + 1), "--unit: unit")};
}

/// On the screen: what the values of single memories promote, and what they do negated.
void show_units(const Options& options) {
  std::vector<Memory> memories;
  for (const std::string& text : options.units) memories.push_back(parse_memory(text));
  const ModelAndTokenizer loaded = load_model_and_tokenizer(options.model);
  const auto bytes = [&](TokenId token) { return token_bytes(loaded.tokenizer.get(), token); };
  std::string text;
  std::vector<Json> list;
  for (const Memory& memory : memories) {
    const auto top = [&](ValueSign sign) {
      return value_top_tokens(*loaded.model, memory.layer, memory.unit, 1, options.top, lens_from_name(options.lens), sign);
    };
    const TopTokens value = top(ValueSign::plus);
    const TopTokens negated = top(ValueSign::minus);
    text += fmt::format("layer {}, unit {} (lens {}): probability, token\n{}", memory.layer, memory.unit, options.lens,
                        value_tokens_text(value, bytes));
    text += "negated, as a negative coefficient adds it\n" + value_tokens_text(negated, bytes);
    list.push_back(JsonObject()
                       .add("layer", memory.layer)
                       .add("unit", memory.unit)
                       .add("promotes", value_tokens_json(value, bytes))
                       .add("negated_promotes", value_tokens_json(negated, bytes))
                       .json());
  }
  write_out(options.json ? JsonObject().add("lens", options.lens).add("memories", list).line() : text);
}

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  if (!options.units.empty()) return show_units(options);
  if (options.out.empty()) throw UsageError("nothing to do: give --out FILE for all values, or --unit LAYER:UNIT for one");
  catch_interrupts();
  check_is_no_input(options.out, model_files(options.model.folder));
  check_storable(model_path_text(options.model.folder), options.model.folder);
  { const AtomicFile writable(options.out); }  // before the work, not after it
  remove_leftovers(options.out);
  const auto model = load_model(options.model);
  const IndexRange layers = parse_layer_range(options.layers, model->config().n_layers);
  ValueTable table{.first_layer = layers.begin,
                   .n_layers = layers.end - layers.begin,
                   .d_memory = model->config().d_memory,
                   .k = options.top,
                   .lens = lens_from_name(options.lens),
                   .sign = options.negated ? ValueSign::minus : ValueSign::plus,
                   .model = model_path_text(options.model.folder),
                   .model_fingerprint = model_fingerprint(options.model.folder, weight_files(*model)),
                   .weights = std::string(name(model->weight_mode())),
                   .tokens = {},
                   .probabilities = {}};
  std::shared_ptr<const Tokenizer> tokenizer;
  if (!options.tokens.empty()) {
    tokenizer = require_tokenizer(options.model, model->config());
    for (const std::string& text : options.tokens) table.asked.push_back(id_of(text, *tokenizer));
  }
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
                  .add("negated", options.negated)
                  .add("asked", promoters_json(table, tokenizer.get()))
                  .add("seconds", progress.seconds())
                  .line());
  } else if (tokenizer) {
    write_out(promoters_text(table, *tokenizer));
  }
}

}  // namespace

void add_values(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("values", "Find the tokens that each value promotes");
  add_model_options(*command, options->model);
  CLI::Option* out = command->add_option("-o,--out", options->out, "The table to write (safetensors)")->type_name("FILE");
  CLI::Option* unit =
      command
          ->add_option("--unit", options->units,
                       "In place of a table: on the screen, what this memory's value promotes, and what it does\n"
                       "negated; LAYER and UNIT from 0; may be given again")
          ->type_name("LAYER:UNIT")
          ->allow_extra_args(false)
          ->excludes(out);
  check_count(command->add_option("--top", options->top, "Tokens of each value"), 1, kMostTokens)
      ->capture_default_str()
      ->type_name("K");
  check_word(
      command->add_option("--lens", options->lens, "raw (v . E, the paper's) or final-norm (the model's final norm first)"),
      {"raw", "final-norm"})
      ->capture_default_str();
  command
      ->add_flag("--negated", options->negated,
                 "Of each value's negative, as a negative coefficient adds it: what report takes for triggers --smallest")
      ->excludes(unit);
  command->add_option("--layers", options->layers, "Layer A, or layers A to B - 1 (default: all)")
      ->type_name("A:B")
      ->excludes(unit);
  command
      ->add_option(
          "--token", options->tokens,
          "Also the rank (from 0) and probability of this token in every value: asked_ranks and asked_probabilities in\n"
          "the file, and the memories that promote it most on the screen or in --json; its leading space counts; may be given\n"
          "again")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->excludes(unit);
  command->add_flag("--json", options->json, "One JSON line at the end");
  command->add_flag("--quiet", options->quiet, "No progress");
  command->footer(
      "Examples:\n"
      "  ffmem values models/gpt2 -o values.safetensors --top 10\n"
      "  ffmem values models/gpt2 --unit 3:17\n"
      "  ffmem values models/gpt2 -o values.safetensors --token \" jail\" --token \" prison\"");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
