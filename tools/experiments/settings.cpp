#include "tools/experiments/settings.hpp"

#include <fmt/format.h>

#include "tools/lens.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

/// What every number rests on: the model as it ran, and how `text` was cut for it.
Settings common_settings(const Workbench& bench, const std::string& text) {
  const ExperimentOptions& options = bench.options();
  return {{"model", fmt::format("{}, fingerprint {}", bench.model_name(), bench.model_fingerprint())},
          {"weights", std::string(name(bench.model()->weight_mode()))},
          {"text", text},
          {"sentences", std::string(sentence_mode_name(options.triggers.sentences))},
          {"tokens of a sentence's run at most", std::to_string(bench.context())},
          {"token fed before each sentence",
           bench.prefix_token() ? visible_token(bench.tokenizer().get(), *bench.prefix_token()) : "none"},
          {"seed", std::to_string(options.seed)}};
}

}  // namespace

std::string file_names(const std::vector<std::filesystem::path>& paths) {
  std::string names;
  for (const auto& path : paths) names.append(names.empty() ? "" : ", ").append(path.filename().string());
  return names;
}

std::string_view without_examples_text(const ExperimentOptions& options) {
  return options.triggers.smallest ? "were never negative" : "never fired";
}

std::string_view negation_text(const ExperimentOptions& options) {
  return options.triggers.smallest
             ? "Values are negated, as the layer adds them where their keys' coefficients are most negative. "
             : "";
}

Settings trigger_settings(const Workbench& bench) {
  const TriggerRequest& request = bench.options().triggers;
  Settings settings =
      common_settings(bench, fmt::format("{}, fingerprint {}", file_names(bench.options().train), bench.train_fingerprint()));
  settings.emplace_back("sentences searched", request.max_sentences ? std::to_string(*request.max_sentences) : "all");
  settings.emplace_back("trigger examples per key", std::to_string(request.top));
  settings.emplace_back("examples of one sentence",
                        request.every_prefix ? "every prefix (the paper)" : "the best prefix of each key (the authors' code)");
  settings.emplace_back("examples are", request.smallest ? "the most negative coefficients" : "the highest coefficients");
  return settings;
}

Settings value_settings(const Workbench& bench) {
  Settings settings = trigger_settings(bench);
  const ExperimentOptions& options = bench.options();
  settings.emplace_back("lens", std::string(lens_name(options.value_lens)));
  settings.emplace_back("values are scored", options.triggers.smallest
                                                 ? "bare and negated (-v, not m v; m is negative in the examples)"
                                                 : "bare (v, not m v)");
  settings.emplace_back(
      "target", options.target == Target::next ? "next: the token behind the prefix" : "last-read: the prefix's last token");
  settings.emplace_back("vocabulary", std::to_string(bench.model()->config().vocab_size));
  return settings;
}

Settings sample_settings(const Workbench& bench, const ExampleSet& examples) {
  Settings settings =
      common_settings(bench, fmt::format("{}, fingerprint {}", file_names(bench.options().valid), bench.valid_fingerprint()));
  settings.emplace_back(
      "prefixes", bench.options().one_per_sentence
                      ? fmt::format("{} of the {} sentences with two tokens or more, a random prefix of each", examples.size(),
                                    examples.n_sentences)
                      : fmt::format("{} of all {} prefixes that have a next token", examples.size(), examples.n_prefixes));
  return settings;
}

Settings stream_settings(const Workbench& bench, const ExampleSet& examples, const std::string& option, Lens lens) {
  const ModelConfig& config = bench.model()->config();
  const ModelWeights& weights = bench.model()->weights();
  const LayerWeights& layer = weights.layers.front();
  Settings settings = sample_settings(bench, examples);
  settings.emplace_back(option, weights.final_norm.present ? std::string(lens_name(lens))
                                                           : "raw (the model has no final norm: both lenses are the same)");
  if (config.wiring == Wiring::parallel) {
    settings.emplace_back("r",
                          "the stream with the attention's output added; the feed-forward layer of this model's parallel "
                          "blocks reads the block's input");
  }
  if (layer.ffn_out.present) settings.emplace_back("y", "the sum of the values, before the norm that this model puts on it");
  if (layer.ffn_residual.present) settings.emplace_back("o", "the norm of r + y: this model is a post-norm one");
  if (!layer.values_bias.empty()) settings.emplace_back("output bias", "part of y, of no memory");
  if (!bench.model()->head().has_logits()) settings.emplace_back("softmax", "adaptive; probabilities are its own");
  return settings;
}

}  // namespace ffmem::tools
