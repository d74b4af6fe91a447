// Paper section 3 in numbers that need no annotator: how alike a key's trigger examples are. Proxies, and named so: what a
// person would call a pattern only a person can say (experiments/annotation.hpp).
#include "tools/experiments/trigger_patterns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

/// The share of prefixes that have the most common ending of n tokens; a shorter prefix has none.
double share_alike(const std::vector<std::span<const TokenId>>& prefixes, std::size_t n) {
  std::map<std::vector<TokenId>, std::size_t> counts;
  std::size_t most = 0;
  for (const auto& prefix : prefixes) {
    if (prefix.size() < n) continue;
    const auto ending = prefix.last(n);
    most = std::max(most, ++counts[{ending.begin(), ending.end()}]);
  }
  return static_cast<double>(most) / static_cast<double>(prefixes.size());
}

struct LayerShares {
  std::vector<double> token, bigram, random_token, random_bigram;  // one a key
  std::size_t n_never_fired = 0;
  std::size_t n_short = 0;  // keys with some, but fewer than t examples
};

/// Random prefixes to compare with: of the sentences that random keys of the model fire on, so that the text is alike.
std::vector<std::span<const TokenId>> random_prefixes(const TriggerStore& store, std::size_t n, Random& random) {
  std::vector<std::span<const TokenId>> prefixes;
  while (prefixes.size() < n) {
    const std::size_t layer = random.below(store.n_layers());
    const std::size_t unit = random.below(store.d_memory());
    const std::size_t n_examples = store.n_examples(layer, unit);
    if (n_examples == 0) continue;
    const auto tokens = store.example(layer, unit, random.below(n_examples)).tokens;
    prefixes.push_back(tokens.first(1 + random.below(tokens.size())));
  }
  return prefixes;
}

LayerShares measure(const TriggerStore& store, std::size_t layer, std::size_t n_examples, Random random) {
  LayerShares shares;
  for (std::size_t unit = 0; unit < store.d_memory(); ++unit) {
    const auto examples = store.examples(layer, unit, n_examples);
    if (examples.empty()) {
      ++shares.n_never_fired;
      continue;
    }
    if (examples.size() < n_examples) {
      ++shares.n_short;
      continue;
    }
    std::vector<std::span<const TokenId>> prefixes;
    prefixes.reserve(examples.size());
    for (const auto& example : examples) prefixes.push_back(example.prefix);
    shares.token.push_back(share_alike(prefixes, 1));
    shares.bigram.push_back(share_alike(prefixes, 2));
    const auto others = random_prefixes(store, prefixes.size(), random);
    shares.random_token.push_back(share_alike(others, 1));
    shares.random_bigram.push_back(share_alike(others, 2));
  }
  return shares;
}

struct LayerPatterns {
  std::size_t n_keys = 0;  // measured
  std::size_t n_never_fired = 0;
  std::size_t n_short = 0;
  std::array<Estimate, 4> shares;  // token, bigram, random token, random bigram
};

LayerPatterns patterns_of(const Workbench& bench, const TriggerStore& store, std::size_t layer, std::size_t n_examples) {
  const LayerShares shares = measure(store, layer, n_examples, bench.random(fmt::format("trigger-patterns/{}", layer)));
  const auto mean = [&](const std::vector<double>& values) {
    return estimate_mean(values, bench.random(fmt::format("trigger-patterns/interval/{}", layer)));
  };
  return {.n_keys = shares.token.size(),
          .n_never_fired = shares.n_never_fired,
          .n_short = shares.n_short,
          .shares = {mean(shares.token), mean(shares.bigram), mean(shares.random_token), mean(shares.random_bigram)}};
}

Table layer_table(const std::vector<LayerPatterns>& layers, std::size_t n_examples, bool smallest) {
  Table table{.name = "layers",
              .caption = fmt::format(
                  "Per layer: the mean share of a key's {} best examples that end in its most common token, "
                  "or two tokens (a prefix of one token has no two), and the same for random prefixes, with 95 % intervals "
                  "(bootstrap over keys)",
                  n_examples),
              .columns = {"layer", "keys", smallest ? "keys never negative" : "keys never fired", "keys with too few examples",
                          "same token", "same token low", "same token high", "same bigram", "same bigram low",
                          "same bigram high", "random token", "random token low", "random token high", "random bigram",
                          "random bigram low", "random bigram high"},
              .rows = {}};
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const LayerPatterns& found = layers[layer];
    auto& row = table.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(found.n_keys),
                                                          count_cell(found.n_never_fired), count_cell(found.n_short)});
    for (const Estimate& share : found.shares) add_interval(row, share);
  }
  return table;
}

Figure share_figure(const std::vector<LayerPatterns>& layers, std::size_t n_examples) {
  Figure figure{.name = "trigger-patterns",
                .title = fmt::format("How alike a key's {} best trigger examples are (a computed proxy)", n_examples),
                .samples = {.of = "keys"},
                .x_label = "layer",
                .y_label = "share with the key's most common ending",
                .kind = Figure::Kind::lines,
                .series = {"same last token", "same last two tokens", "random prefixes, token", "random prefixes, two"},
                .data = {},
                .paper = {},
                .y_max = 1.0};
  figure.data.columns = interval_columns("layer", figure.series);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    for (const Estimate& share : layers[layer].shares) add_interval(figure, share);
  }
  return figure;
}

std::string found_text(const std::vector<LayerPatterns>& layers, std::size_t n_examples, std::size_t n_keys,
                       const ExperimentOptions& options) {
  std::size_t n_never = 0;
  std::size_t n_short = 0;
  std::vector<double> same;
  for (const LayerPatterns& layer : layers) {
    n_never += layer.n_never_fired;
    n_short += layer.n_short;
    same.push_back(layer.shares[0].value);
  }
  std::string never = fmt::format("{} of {} keys {}.", n_never, n_keys, without_examples_text(options));
  if (n_short > 0) never += fmt::format(" {} have fewer than {} examples and are left out.", n_short, n_examples);
  if (std::ranges::all_of(same, [](double share) { return std::isnan(share); })) {
    return fmt::format("No key has {} trigger examples. {}", n_examples, never);
  }
  const Extremes found = extremes(same);
  return fmt::format(
      "Of a key's {} best examples {} end in the same token in layer {}, where they are most alike, and {} in layer {}, where "
      "they are least; of random prefixes it is {}. {}",
      n_examples, percent(layers[found.highest - 1].shares[0]), found.highest, percent(layers[found.lowest - 1].shares[0]),
      found.lowest, percent(layers[found.highest - 1].shares[2]), never);
}

}  // namespace

Result trigger_patterns(Workbench& bench) {
  const TriggerStore& store = bench.triggers();
  const std::size_t n_examples = std::min(bench.options().annotated_examples, store.top());
  std::vector<LayerPatterns> layers;
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    layers.push_back(patterns_of(bench, store, layer, n_examples));
  }
  Result result{.name = "trigger-patterns", .title = "What a key's trigger examples have in common"};
  result.paper_place = "section 3.2, Table 1 and Figure 2";
  result.paper_found =
      "People found at least one pattern in the examples of every key, 3.6 a key on average, shallow ones (recurring n-grams) "
      "mostly in layers 1 to 9 and semantic ones (recurring topics) in 10 to 16. The numbers here are computed stand-ins, not "
      "annotations.";
  result.run_found = found_text(layers, n_examples, store.n_layers() * store.d_memory(), bench.options());
  result.settings = trigger_settings(bench);
  result.settings.emplace_back("examples compared", std::to_string(n_examples));
  result.settings.emplace_back("random prefixes", "beginnings, of random length, of the sentences of random keys' examples");
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    constexpr std::array<const char*, 4> kNames{"same token", "same bigram", "random token", "random bigram"};
    for (std::size_t s = 0; s < kNames.size(); ++s) {
      result.estimates.emplace_back(fmt::format("layer {} {}", layer + 1, kNames[s]), layers[layer].shares[s]);
    }
  }
  result.tables.push_back(layer_table(layers, n_examples, bench.options().triggers.smallest));
  result.figures.push_back(share_figure(layers, n_examples));
  return result;
}

}  // namespace ffmem::tools
