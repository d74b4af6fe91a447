// ffmem info: what a checkpoint is, and what running it takes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "ops/threads.hpp"
#include "runtime/output_head.hpp"
#include "runtime/session.hpp"
#include "tools/commands.hpp"
#include "tools/json_text.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  ModelArguments model;
  bool json = false;
};

struct TokenizerFacts {
  std::string files;
  std::size_t n_tokens = 0;
};

/// Says which of the kinds of Tokenizer::load the folder has. Nothing where it has none.
std::optional<TokenizerFacts> tokenizer_facts(const ModelArguments& model, const ModelConfig& config) {
  const auto tokenizer = load_tokenizer(model, config);
  if (!tokenizer) return {};
  const auto has = [&](const char* file) { return std::filesystem::exists(model.folder / file); };
  const char* files = has("tokenizer.json") ? "tokenizer.json" : has("vocab.json") ? "vocab.json + merges.txt" : "dict.txt";
  return TokenizerFacts{files, tokenizer->vocab_size()};
}

std::string bytes_text(std::size_t bytes) {
  constexpr double kUnit = 1024.0;
  const auto b = static_cast<double>(bytes);
  if (b < kUnit) return fmt::format("{} B", bytes);
  if (b < kUnit * kUnit) return fmt::format("{:.1f} KiB", b / kUnit);
  if (b < kUnit * kUnit * kUnit) return fmt::format("{:.1f} MiB", b / kUnit / kUnit);
  return fmt::format("{:.2f} GiB", b / kUnit / kUnit / kUnit);
}

std::string id_text(const std::optional<TokenId>& id) { return id ? std::to_string(*id) : "none"; }

struct Facts {
  const Model& model;
  std::optional<TokenizerFacts> tokenizer;
  Session::Memory session;
  int threads;
};

std::string as_json(const Facts& facts) {
  const ModelConfig& c = facts.model.config();
  const ModelWeights& w = facts.model.weights();
  JsonObject tokenizer;
  if (facts.tokenizer) tokenizer.add("files", facts.tokenizer->files).add("tokens", facts.tokenizer->n_tokens);
  return JsonObject()
      .add("family", c.family)
      .add("layers", c.n_layers)
      .add("width", c.d_model)
      .add("memories_per_layer", c.d_memory)
      .add("memories", c.n_layers * c.d_memory)
      .add("heads", c.n_heads)
      .add("kv_heads", c.n_kv_heads)
      .add("head_width", c.head_dim)
      .add("context", c.max_positions)
      .add("vocabulary", c.vocab_size)
      .add("activation", name(c.activation))
      .add("gated", c.gated)
      .add("parameters", w.n_parameters)
      .add("dtype", w.stored_dtypes)
      .add("bos", c.bos)
      .add("eos", c.all_eos)
      .add("tokenizer", facts.tokenizer ? tokenizer.json() : Json{"null"})
      .add("file_bytes", w.checkpoint->file_bytes())
      .add("weights", name(facts.model.weight_mode()))
      .add("converted_bytes", facts.model.owned_bytes())
      .add("kv_cache_bytes", facts.session.kv_cache_bytes)
      .add("workspace_bytes", facts.session.workspace_bytes)
      .add("backend", facts.model.backend().description())
      .add("threads", facts.threads)
      .line();
}

std::string as_text(const Facts& facts) {
  const ModelConfig& c = facts.model.config();
  const ModelWeights& w = facts.model.weights();
  std::string text;
  const auto line = [&](std::string_view what, const std::string& value) { text += fmt::format("{:<14}{}\n", what, value); };
  line("family", c.family);
  line("layers", fmt::format("{}", c.n_layers));
  line("width", fmt::format("{}", c.d_model));
  line("memories", fmt::format("{} a layer, {} in all", c.d_memory, c.n_layers * c.d_memory));
  line("activation", fmt::format("{}{}", name(c.activation), c.gated ? ", gated" : ""));
  const std::string kv_heads = c.n_kv_heads == c.n_heads ? "" : fmt::format(" ({} for keys and values)", c.n_kv_heads);
  line("heads", fmt::format("{}{} of width {}", c.n_heads, kv_heads, c.head_dim));
  line("context", fmt::format("{} tokens", c.max_positions));
  line("vocabulary", fmt::format("{} tokens", c.vocab_size));
  line("tokenizer", facts.tokenizer ? fmt::format("{}, {} tokens", facts.tokenizer->files, facts.tokenizer->n_tokens) : "none");
  line("bos, eos", fmt::format("{}, {}", id_text(c.bos), fmt::join(c.all_eos, " ")));
  line("parameters", fmt::format("{:.1f} million, stored as {}", static_cast<double>(w.n_parameters) / 1e6, w.stored_dtypes));
  line("weights",
       fmt::format("{} in files (mapped), run as {}, {} converted copies in memory", bytes_text(w.checkpoint->file_bytes()),
                   name(facts.model.weight_mode()), bytes_text(facts.model.owned_bytes())));
  line("session", fmt::format("{} KV cache, {} workspace (full context, one sequence)",
                              bytes_text(facts.session.kv_cache_bytes), bytes_text(facts.session.workspace_bytes)));
  line("runs on",
       fmt::format("{}, {} thread{}", facts.model.backend().description(), facts.threads, facts.threads == 1 ? "" : "s"));
  return text;
}

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  const auto model = load_model(options.model);
  model->head().prepare();  // so that its bytes are counted
  const Facts facts{*model, tokenizer_facts(options.model, model->config()), Session::memory(model->config(), {}),
                    available_threads()};
  write_out(options.json ? as_json(facts) : as_text(facts));
}

}  // namespace

void add_info(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("info", "What a checkpoint is: sizes, memories, vocabulary, bytes");
  add_model_options(*command, options->model);
  command->add_flag("--json", options->json, "One JSON object");
  command->footer("Example:\n  ffmem info models/gpt2");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
