#include "tools/experiments/per_layer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/lens.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {

Settings sample_settings(const Workbench& bench, const ExampleSet& examples) {
  const ExperimentOptions& options = bench.options();
  std::string files;
  for (const auto& file : options.valid) files += (files.empty() ? "" : ", ") + file.filename().string();
  return {{"text", files},
          {"sentences", std::string(sentence_mode_name(options.triggers.sentences))},
          {"prefixes", options.one_per_sentence
                           ? fmt::format("{} of the {} sentences with two tokens or more, a random prefix of each",
                                         examples.size(), examples.n_sentences)
                           : fmt::format("{} of all {} prefixes that have a next token", examples.size(), examples.n_prefixes)},
          {"token fed before each prefix",
           bench.prefix_token() ? visible_token(bench.tokenizer().get(), *bench.prefix_token()) : "none"},
          {"seed", std::to_string(options.seed)}};
}

Settings stream_settings(const Workbench& bench, Lens lens) {
  const ModelConfig& config = bench.model()->config();
  const ModelWeights& weights = bench.model()->weights();
  const LayerWeights& layer = weights.layers.front();
  Settings settings{{"lens", weights.final_norm.present ? std::string(lens_name(lens))
                                                        : "raw (the model has no final norm: both lenses are the same)"}};
  if (config.wiring == Wiring::parallel) {
    settings.emplace_back("r",
                          "the stream with the attention's output added; the feed-forward layer of this model's parallel "
                          "blocks reads the block's input");
  }
  if (layer.ffn_out.present) settings.emplace_back("y", "the sum of the values, before the norm that this model puts on it");
  if (layer.ffn_residual.present) settings.emplace_back("o", "the norm of r + y: this model is a post-norm one");
  if (!weights.layers.front().values_bias.empty()) {
    settings.emplace_back("output bias", "part of y, of no memory");
  }
  if (!bench.model()->head().has_logits()) settings.emplace_back("softmax", "adaptive; probabilities are its own");
  return settings;
}

std::vector<Estimate> layer_shares(const Workbench& bench, const LayerPass& pass, const std::string& purpose,
                                   const std::function<bool(std::size_t place)>& test) {
  std::vector<Estimate> shares;
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < pass.examples.size(); ++i) n += test(pass.at(i, layer)) ? 1 : 0;
    shares.push_back(estimate_share(n, pass.examples.size(), bench.random(fmt::format("{}/interval/{}", purpose, layer))));
  }
  return shares;
}

void add_estimates(Result& result, const std::string& what, const std::vector<Estimate>& by_layer) {
  for (std::size_t layer = 0; layer < by_layer.size(); ++layer) {
    result.estimates.emplace_back(fmt::format("layer {} {}", layer + 1, what), by_layer[layer]);
  }
}

Extremes extremes(const std::vector<double>& by_layer) {
  Extremes found;
  const auto better = [&](double candidate, double best, int sign) {
    return !std::isnan(candidate) && (std::isnan(best) || sign * candidate > sign * best);
  };
  for (std::size_t i = 0; i < by_layer.size(); ++i) {
    if (better(by_layer[i], by_layer[found.highest - 1], 1)) found.highest = i + 1;
    if (better(by_layer[i], by_layer[found.lowest - 1], -1)) found.lowest = i + 1;
  }
  return found;
}

std::vector<double> values_of(const std::vector<Estimate>& estimates) {
  std::vector<double> values;
  for (const Estimate& estimate : estimates) values.push_back(estimate.value);
  return values;
}

std::optional<Table> paper_points(std::size_t n_layers, const std::string& series,
                                  const std::vector<std::pair<double, double>>& points) {
  Table table{.columns = {"layer", series}};
  for (const auto& [layer, value] : points) {
    const auto x = paper_layer(layer, n_layers);
    if (!x) return std::nullopt;
    table.rows.push_back({*x, value});
  }
  return table;
}

std::string percent(double share) { return std::isnan(share) ? "no" : fmt::format("{:.1f} %", 100 * share); }

std::string percent(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return percent(estimate.value);
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * estimate.value, 100 * estimate.low, 100 * estimate.high);
}

std::string text_of(const Workbench& bench, std::span<const TokenId> tokens) { return bench.tokenizer()->decode(tokens); }

}  // namespace ffmem::tools
