#include "tools/experiments/value_agreement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/experiments/token_counts.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kPermutations = 100;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// The values of one layer that are compared: prediction and target of each.
struct Pairs {
  std::vector<TokenId> predictions;
  std::vector<TokenId> targets;

  std::size_t n_agreeing() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) n += predictions[i] == targets[i] ? 1 : 0;
    return n;
  }
};

Pairs pairs_of(const ValueTable& values, std::size_t layer, const KeyTargets& keys) {
  Pairs pairs;
  for (std::size_t unit = 0; unit < keys.tokens.size(); ++unit) {
    if (!keys.tokens[unit]) continue;
    pairs.predictions.push_back(values.tokens[(layer * values.d_memory + unit) * values.k]);
    pairs.targets.push_back(*keys.tokens[unit]);
  }
  return pairs;
}

/// Each token's share of the training text.
std::vector<double> token_frequencies(const Workbench& bench) {
  const std::vector<std::int64_t> counts = token_counts(bench);
  const auto n = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
  std::vector<double> shares;
  shares.reserve(counts.size());
  for (const std::int64_t count : counts) shares.push_back(static_cast<double>(count) / n);
  return shares;
}

/// What a token drawn by these frequencies would agree with, in the mean over the predictions.
Estimate expected_agreement(const std::vector<TokenId>& predictions, const std::vector<double>& frequencies, Random random) {
  std::vector<double> of_predictions;
  of_predictions.reserve(predictions.size());
  for (const TokenId token : predictions) of_predictions.push_back(frequencies[static_cast<std::size_t>(token)]);
  return estimate_mean(of_predictions, random);
}

Estimate without_interval(double value, std::size_t n) { return {.value = value, .low = kNaN, .high = kNaN, .n = n}; }

/// The paper's curve as far as its text gives it: near 0 up to layer 10, then rising to 3.5 % in layer 16.
std::optional<Table> paper_values(const std::vector<std::string>& series, std::size_t n_layers) {
  if (!paper_layer(1, n_layers)) return std::nullopt;
  Table table{.columns = {"layer", series[0]}};
  for (const auto& [layer, percent] : {std::pair{1.0, 0.0}, {10.0, 0.0}, {16.0, 3.5}}) {
    table.rows.push_back({*paper_layer(layer, n_layers), percent});
  }
  return table;
}

struct Found {
  std::vector<KeyTargets> keys;
  std::vector<Estimate> agreement, permuted, frequency, uniform;  // one a layer
  std::vector<std::size_t> n_agreeing;
};

Found measure(Workbench& bench) {
  const TriggerStore& store = bench.triggers();
  const ValueTable& values = bench.values(bench.example_sign());
  const Target target = bench.options().target;
  const std::size_t vocab_size = bench.model()->config().vocab_size;
  const std::vector<double> frequencies = token_frequencies(bench);
  Found found;
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    found.keys.push_back(key_targets(store, layer, target));
    const Pairs pairs = pairs_of(values, layer, found.keys.back());
    const std::size_t n = pairs.targets.size();
    found.n_agreeing.push_back(pairs.n_agreeing());
    found.agreement.push_back(
        estimate_share(found.n_agreeing.back(), n, bench.random(fmt::format("value-agreement/interval/{}", layer))));
    found.permuted.push_back(permuted_agreement(pairs.predictions, pairs.targets,
                                                bench.random(fmt::format("value-agreement/permutation/{}", layer))));
    found.frequency.push_back(
        expected_agreement(pairs.predictions, frequencies, bench.random(fmt::format("value-agreement/frequency/{}", layer))));
    found.uniform.push_back(without_interval(1.0 / static_cast<double>(vocab_size), n));
  }
  return found;
}

Table layer_table(const Found& found, const ExperimentOptions& options) {
  Table table{
      .name = "layers",
      .caption = fmt::format(
          "Per layer, in per cent of the keys compared: values whose top prediction is w, {} the key's best trigger example "
          "(95 % interval: bootstrap over keys); the same after pairing every key with the value of another key of "
          "the layer (mean and middle 95 % of {} random cyclic permutations); the rate expected if w were drawn by its "
          "frequency in the training text, the unigram distribution (the mean over the layer's values of the frequency of "
          "the predicted token; bootstrap over keys); and if it were drawn uniformly, 1/V",
          target_text(options.target), kPermutations),
      .columns = {"layer", "memories", options.triggers.smallest ? "keys never negative" : "keys never fired",
                  "best example has no token", "keys compared", "agreeing", "agreement %", "agreement % low",
                  "agreement % high", "permuted %", "permuted % low", "permuted % high", "by frequency %", "by frequency % low",
                  "by frequency % high", "uniform %"},
      .rows = {}};
  for (std::size_t layer = 0; layer < found.keys.size(); ++layer) {
    const KeyTargets& keys = found.keys[layer];
    std::vector<Cell> row{count_cell(layer + 1),          count_cell(keys.tokens.size()),
                          count_cell(keys.n_never_fired), count_cell(keys.n_sentence_ends),
                          count_cell(keys.n()),           count_cell(found.n_agreeing[layer])};
    add_interval(row, found.agreement[layer], 100.0);
    add_interval(row, found.permuted[layer], 100.0);
    add_interval(row, found.frequency[layer], 100.0);
    row.emplace_back(100.0 * found.uniform[layer].value);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Figure agreement_figure(const Found& found, std::size_t n_layers, Target target) {
  Figure figure{.name = "value-agreement",
                .title = fmt::format("Values that predict {} their key's best trigger example", target_text(target)),
                .samples = {.of = "keys"},
                .x_label = "layer",
                .y_label = "agreement rate (%)",
                .kind = Figure::Kind::lines,
                .series = {"own value", "another key's value", "token by frequency", "uniform token"}};
  figure.data.columns = interval_columns("layer", figure.series);
  for (std::size_t layer = 0; layer < n_layers; ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    for (const auto* series : {&found.agreement, &found.permuted, &found.frequency, &found.uniform}) {
      add_interval(figure, (*series)[layer], 100.0);
    }
  }
  figure.paper = paper_values(figure.series, n_layers);
  return figure;
}

std::string found_text(const Found& found, const ExperimentOptions& options) {
  const Extremes layers = extremes(values_of(found.agreement));
  const std::size_t best = layers.highest - 1;
  const Estimate& most = found.agreement[best];
  const std::string left_out = without_target_text(found.keys, options);
  if (std::isnan(most.value)) return "No key has a trigger example to compare its value with. " + left_out;
  if (most.value == 0.0) return "No value's top prediction is its key's target, in any layer. " + left_out;
  const auto in_percent = [](const Estimate& estimate) { return 100.0 * estimate.value; };
  const Estimate& permuted = found.permuted[best];
  return fmt::format(
      "The value's top prediction is the key's target for {:.2f} % of the keys of layer {} and {:.2f} % of layer {}; most "
      "often in layer {}: {:.2f} % ({:.2f} to {:.2f}; {} of {}). There a token drawn by frequency agrees in {:.2f} %, a "
      "uniform one in {:.4f} %{}. {}",
      in_percent(found.agreement[layers.first - 1]), layers.first, in_percent(found.agreement[layers.last - 1]), layers.last,
      layers.highest, in_percent(most), 100.0 * most.low, 100.0 * most.high, found.n_agreeing[best], most.n,
      in_percent(found.frequency[best]), in_percent(found.uniform[best]),
      std::isnan(permuted.value) ? "" : fmt::format(", another key's value in {:.2f} %", in_percent(permuted)), left_out);
}

}  // namespace

Estimate permuted_agreement(std::span<const TokenId> predictions, std::span<const TokenId> targets, Random random) {
  const std::size_t n = targets.size();
  if (n < 2) return without_interval(kNaN, n);
  std::vector<double> rates;
  std::vector<std::size_t> other(n);
  for (std::size_t p = 0; p < kPermutations; ++p) {
    std::iota(other.begin(), other.end(), std::size_t{0});
    // Sattolo's shuffle: one cycle through all, so that no key keeps its own value.
    for (std::size_t i = n - 1; i > 0; --i) std::swap(other[i], other[random.below(i)]);
    std::size_t n_agreeing = 0;
    for (std::size_t i = 0; i < n; ++i) n_agreeing += predictions[other[i]] == targets[i] ? 1 : 0;
    rates.push_back(static_cast<double>(n_agreeing) / static_cast<double>(n));
  }
  const double mean = std::accumulate(rates.begin(), rates.end(), 0.0) / static_cast<double>(kPermutations);
  std::ranges::sort(rates);
  return {.value = mean, .low = quantile(rates, 0.025), .high = quantile(rates, 0.975), .n = n};
}

Result value_agreement(Workbench& bench) {
  const Found found = measure(bench);
  const ExperimentOptions& options = bench.options();
  Result result{.name = "value-agreement",
                .title = fmt::format("Do values predict {} their key's trigger examples?", target_text(options.target)),
                .paper_place = "section 4, Figure 4",
                .paper_found =
                    "The agreement rate is near 0 in layers 1 to 10 and rises to about 3.5 % in layer 16; a random token "
                    "would agree in 0.0004 % of the cases. The permutation and frequency baselines are not in the paper.",
                .run_found = concat(negation_text(options), found_text(found, options)),
                .settings = value_settings(bench)};
  result.settings.emplace_back("permutations", std::to_string(kPermutations));
  for (std::size_t layer = 0; layer < found.keys.size(); ++layer) {
    result.estimates.emplace_back(fmt::format("layer {} agreement", layer + 1), found.agreement[layer]);
    result.estimates.emplace_back(fmt::format("layer {} permuted", layer + 1), found.permuted[layer]);
    result.estimates.emplace_back(fmt::format("layer {} by frequency", layer + 1), found.frequency[layer]);
  }
  result.tables.push_back(layer_table(found, options));
  result.figures.push_back(agreement_figure(found, found.keys.size(), options.target));
  return result;
}

}  // namespace ffmem::tools
