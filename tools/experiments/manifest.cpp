#include "tools/experiments/manifest.hpp"

#include <fmt/format.h>
#include <unicode/uversion.h>

#include <algorithm>

#include "ops/threads.hpp"
#include "ops/version.hpp"
#include "tools/experiments/weight_errors.hpp"
#include "tools/json_text.hpp"
#include "tools/lens.hpp"
#include "tools/ranks.hpp"
#include "tools/sentence_batches.hpp"
#include "tools/speed/processor.hpp"

namespace ffmem::tools {
namespace {

/// For the errors of a weight mode: layers times width are numbers enough.
constexpr std::size_t kErrorTokens = 16;

std::string icu_version() {
  UVersionInfo version;
  char text[U_MAX_VERSION_STRING_LENGTH];
  u_getVersion(version);
  u_versionToString(version, text);
  return text;
}

Json versions_json() {
  return JsonObject().add("ffmem", version()).add("icu", icu_version()).add("compiler", __VERSION__).json();
}

/// Every option that bears on a number or a table, by its name on the command line.
Json options_json(const ExperimentOptions& options) {
  const TriggerRequest& triggers = options.triggers;
  return JsonObject()
      .add("train", options.train)
      .add("valid", options.valid)
      .add("weights", name(options.model.weights))
      .add("sentences", sentence_mode_name(triggers.sentences))
      .add("max-sentences", triggers.max_sentences)
      .add("context", triggers.context)
      .add("top", triggers.top)
      .add("every-prefix", triggers.every_prefix)
      .add("smallest", triggers.smallest)
      .add("lens", lens_name(options.value_lens))
      .add("stream-lens", lens_name(options.stream_lens))
      .add("target", options.target == Target::next ? "next" : "last-read")
      .add("agreeing", options.agreeing == AgreeingMemories::active ? "active" : "all")
      .add("active-above", options.active_above)
      .add("one-per-sentence", options.one_per_sentence)
      .add("examples", options.n_examples)
      .add("removal-keys", options.removal_keys)
      .add("annotated-keys", options.annotated_keys)
      .add("annotated-examples", options.annotated_examples)
      .add("annotations", options.annotations)
      .add("changes", options.changes)
      .add("effect-layer", options.effect_layer)
      .add("effect-examples", options.effect_examples)
      .add("seed", options.seed)
      .json();
}

/// The first n tokens of the text that was given, its sentences laid end to end.
std::vector<TokenId> first_tokens(const Workbench& bench, std::size_t n) {
  const ExperimentOptions& options = bench.options();
  TriggerInfo info;
  info.context = bench.context();
  info.prefix_token = bench.prefix_token();
  SentenceReader reader(options.valid.empty() ? options.train : options.valid, options.triggers.sentences);
  std::vector<TokenId> tokens;
  if (info.prefix_token) tokens.push_back(*info.prefix_token);
  n = std::min(n, info.context);
  for (auto sentence = reader.next(); sentence && tokens.size() < n; sentence = reader.next()) {
    const std::vector<TokenId> own = sentence_tokens(*bench.tokenizer(), *sentence, info);
    tokens.insert(tokens.end(), own.begin(), own.end());
  }
  tokens.resize(std::min(n, tokens.size()));
  return tokens;
}

/// Null in f32, which is the reference, and where no text was given.
Json weight_errors_json(const Workbench& bench) {
  if (bench.model()->weight_mode() == WeightMode::f32) return {"null"};
  const std::vector<TokenId> tokens = first_tokens(bench, kErrorTokens);
  if (tokens.empty()) return {"null"};
  JsonObject points;
  for (const auto& [point, error] : weight_errors(bench.options().model.folder, bench.model(), tokens)) {
    points.add(name(point), error);
  }
  return JsonObject()
      .add("of", "root mean square of the differences from float32, as a share of the float32 numbers' own")
      .add("tokens", tokens.size())
      .add("points", points.json())
      .json();
}

}  // namespace

std::string manifest(const Workbench& bench, const Facts& facts, const Timings& timings) {
  JsonObject about;
  for (const auto& [name, value] : facts) about.add(name, value);
  JsonObject seconds;
  double total = 0.0;
  for (const auto& [name, value] : timings) {
    seconds.add(name, value);
    total += value;
  }
  return JsonObject()
      .add("versions", versions_json())
      .add("processor", processor_name())
      .add("backend", bench.model()->backend().description())
      .add("threads", available_threads())
      .add("ranks", n_ranks())
      .add("model", model_path_text(bench.options().model.folder))
      .add("model_fingerprint", bench.model_fingerprint())
      .add("run", about.json())
      .add("options", options_json(bench.options()))
      .add("weight_errors", weight_errors_json(bench))
      .add("reused", bench.reused())
      .add("seconds", seconds.json())
      .add("total_seconds", total)
      .line();
}

}  // namespace ffmem::tools
