// Paper section 3 in numbers that need no annotator: how alike a key's trigger examples are. Proxies, and named so: what a
// person would call a pattern only a person can say (experiments/annotation.hpp).
#include "tools/experiments/trigger_patterns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace ffmem::tools {
namespace {

/// The last n tokens of a prefix.
std::vector<TokenId> ending(std::span<const TokenId> prefix, std::size_t n) {
  const auto last = prefix.last(std::min(n, prefix.size()));
  return {last.begin(), last.end()};
}

/// The share of prefixes that have the most common ending of n tokens.
double share_alike(const std::vector<std::span<const TokenId>>& prefixes, std::size_t n) {
  std::map<std::vector<TokenId>, std::size_t> counts;
  std::size_t most = 0;
  for (const auto& prefix : prefixes) most = std::max(most, ++counts[ending(prefix, n)]);
  return static_cast<double>(most) / static_cast<double>(prefixes.size());
}

struct LayerShares {
  std::vector<double> token, bigram, random_token, random_bigram;  // one a key
  std::size_t n_never_fired = 0;
  std::size_t n_short = 0;  // keys with some, but fewer than t examples
};

/// Random prefixes to compare with: examples of other keys of the model, so that sentences and lengths are alike.
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

std::string found_text(const Table& layers, std::size_t n_examples, std::size_t n_never, std::size_t n_keys) {
  std::vector<std::vector<Cell>> measured;
  for (const auto& row : layers.rows) {
    if (!std::isnan(std::get<double>(row[4]))) measured.push_back(row);
  }
  const std::string never = fmt::format("{} of {} keys never fired.", n_never, n_keys);
  if (measured.empty()) return fmt::format("No key has {} trigger examples. {}", n_examples, never);
  const auto by_share = [](const auto& a, const auto& b) { return std::get<double>(a[4]) < std::get<double>(b[4]); };
  const auto& most = *std::ranges::max_element(measured, by_share);
  const auto& least = *std::ranges::min_element(measured, by_share);
  return fmt::format(
      "Of a key's {} best examples {:.1f} % end in the same token in layer {}, where they are most alike, and {:.1f} % in "
      "layer {}, where they are least; of random prefixes it is {:.1f} %. {}",
      n_examples, 100 * std::get<double>(most[4]), cell_text(most[0]), 100 * std::get<double>(least[4]), cell_text(least[0]),
      100 * std::get<double>(most[10]), never);
}

}  // namespace

Result trigger_patterns(Workbench& bench) {
  const TriggerStore& store = bench.triggers();
  const std::size_t n_examples = std::min(bench.options().annotated_examples, store.top());
  Table layers{
      .name = "layers",
      .caption = fmt::format("Per layer: the mean share of a key's {} best examples that end in its most common token, "
                             "or two tokens, and the same for random prefixes",
                             n_examples),
      .columns = {"layer", "keys", "keys never fired", "keys with too few examples", "same token", "same token low",
                  "same token high", "same bigram", "same bigram low", "same bigram high", "random token", "random bigram"},
      .rows = {}};
  Figure figure{.name = "trigger-patterns",
                .title = fmt::format("How alike a key's {} best trigger examples are (a computed proxy)", n_examples),
                .x_label = "layer",
                .y_label = "share with the key's most common ending",
                .kind = Figure::Kind::lines,
                .series = {"same last token", "same last two tokens", "random prefixes, token", "random prefixes, two"},
                .data = {.columns = {"layer"}},
                .paper = {},
                .y_max = 1.0};
  for (const std::string& series : figure.series) {
    for (const char* part : {"", " low", " high"}) figure.data.columns.push_back(series + part);
  }
  Result result{.name = "trigger-patterns", .title = "What a key's trigger examples have in common"};
  std::size_t n_never = 0;
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    const LayerShares shares = measure(store, layer, n_examples, bench.random(fmt::format("trigger-patterns/{}", layer)));
    std::vector<Cell> plotted{count_cell(layer + 1)};
    std::vector<Estimate> estimates;
    for (const auto* values : {&shares.token, &shares.bigram, &shares.random_token, &shares.random_bigram}) {
      estimates.push_back(estimate_mean(*values, bench.random(fmt::format("trigger-patterns/interval/{}", layer))));
      for (const double number : {estimates.back().value, estimates.back().low, estimates.back().high})
        plotted.emplace_back(number);
    }
    figure.data.rows.push_back(plotted);
    layers.rows.push_back({count_cell(layer + 1), count_cell(shares.token.size()), count_cell(shares.n_never_fired),
                           count_cell(shares.n_short), estimates[0].value, estimates[0].low, estimates[0].high,
                           estimates[1].value, estimates[1].low, estimates[1].high, estimates[2].value, estimates[3].value});
    result.estimates.emplace_back(fmt::format("layer {} same token", layer + 1), estimates[0]);
    result.estimates.emplace_back(fmt::format("layer {} same bigram", layer + 1), estimates[1]);
    n_never += shares.n_never_fired;
  }
  result.paper_place = "section 3.2, Table 1 and Figure 2";
  result.paper_found =
      "People found at least one pattern in the examples of every key, 3.6 a key on average, shallow ones (recurring n-grams) "
      "mostly in layers 1 to 9 and semantic ones (recurring topics) in 10 to 16. The numbers here are computed stand-ins, not "
      "annotations.";
  result.run_found = found_text(layers, n_examples, n_never, store.n_layers() * store.d_memory());
  result.settings = {{"examples per key", std::to_string(n_examples)}, {"seed", std::to_string(bench.options().seed)}};
  result.tables.push_back(std::move(layers));
  result.figures.push_back(std::move(figure));
  return result;
}

}  // namespace ffmem::tools
