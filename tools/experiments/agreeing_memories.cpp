#include "tools/experiments/agreeing_memories.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/experiments/stop_words.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kShort = 5;  // tokens; shorter prefixes are short
constexpr std::size_t kListedTokens = 50;

/// Of each example: how many of its layers do what is asked for.
struct Counts {
  std::vector<double> parts;
  std::vector<double> wholes;
};

using Test = std::function<bool(std::size_t example, std::size_t at)>;

/// The share of (example, layer) in `whole` that are in `part`, for layers [begin, end), bootstrapped over examples.
Estimate share(const LayerPass& pass, std::size_t begin, std::size_t end, const Test& whole, const Test& part, Random random) {
  Counts counts;
  for (std::size_t i = 0; i < pass.examples.size(); ++i) {
    double n = 0;
    double k = 0;
    for (std::size_t layer = begin; layer < end; ++layer) {
      if (!whole(i, pass.at(i, layer))) continue;
      n += 1;
      k += part(i, pass.at(i, layer)) ? 1 : 0;
    }
    counts.wholes.push_back(n);
    counts.parts.push_back(k);
  }
  return estimate_grouped_share(counts.parts, counts.wholes, random);
}

Table token_table(const Workbench& bench, const LayerPass& pass, const Test& agrees) {
  std::map<TokenId, std::pair<std::size_t, std::size_t>> counts;  // agreeing, all
  for (std::size_t i = 0; i < pass.examples.size(); ++i) {
    for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
      auto& [n_agreeing, n_all] = counts[pass.ffn_value_lens[pass.at(i, layer)]];
      n_agreeing += agrees(i, pass.at(i, layer)) ? 1 : 0;
      n_all += 1;
    }
  }
  std::vector<std::pair<TokenId, std::pair<std::size_t, std::size_t>>> order(counts.begin(), counts.end());
  std::ranges::stable_sort(order, [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  Table table{
      .name = "tokens",
      .caption = fmt::format("The {} tokens that layer and memory most often agree on: (example, layer) cases with agreement, "
                             "and all cases in which the layer predicts the token",
                             kListedTokens),
      .columns = {"token", "text", "stop word", "cases with agreement", "cases"},
      .rows = {}};
  for (const auto& [token, n] : order) {
    if (table.rows.size() == kListedTokens || n.first == 0) break;
    const std::string text = token_bytes(bench.tokenizer().get(), token).value_or("");
    table.rows.push_back({count_cell(static_cast<std::size_t>(token)), text, is_stop_word(text) ? "yes" : "no",
                          count_cell(n.first), count_cell(n.second)});
  }
  return table;
}

std::vector<bool> stop_word_tokens(const Workbench& bench) {
  std::vector<bool> is_stop(bench.model()->config().vocab_size);
  for (std::size_t id = 0; id < is_stop.size(); ++id) {
    is_stop[id] = is_stop_word(token_bytes(bench.tokenizer().get(), static_cast<TokenId>(id)).value_or(""));
  }
  return is_stop;
}

constexpr std::array kNames{"agreeing", "stop word", "stop word, all cases", "short prefix", "short prefix, all cases"};
using Shares = std::array<Estimate, kNames.size()>;

/// The shares over all layers, and in each.
struct LayerShares {
  Shares overall;
  std::vector<Shares> layers;
};

LayerShares shares_of(const Workbench& bench, const LayerPass& pass, const Test& agrees) {
  const std::vector<bool> is_stop = stop_word_tokens(bench);
  const Test all = [](std::size_t, std::size_t) { return true; };
  const Test stops = [&](std::size_t, std::size_t at) { return is_stop[static_cast<std::size_t>(pass.ffn_value_lens[at])]; };
  const Test is_short = [&](std::size_t i, std::size_t) { return pass.examples.examples[i].length < kShort; };
  const auto measure = [&](std::size_t begin, std::size_t end) {
    const auto random = [&](const char* what) {
      return bench.random(fmt::format("agreeing-memories/{}/{}/{}", what, begin, end));
    };
    return Shares{
        share(pass, begin, end, all, agrees, random("agreeing")), share(pass, begin, end, agrees, stops, random("stop")),
        share(pass, begin, end, all, stops, random("stop base")), share(pass, begin, end, agrees, is_short, random("short")),
        share(pass, begin, end, all, is_short, random("short base"))};
  };
  LayerShares shares{.overall = measure(0, pass.n_layers), .layers = {}};
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) shares.layers.push_back(measure(layer, layer + 1));
  return shares;
}

Table layer_table(const LayerShares& shares) {
  Table table{
      .name = "layers",
      .caption = fmt::format("Shares of (example, layer) cases: those in which a memory's own prediction is the layer's; of "
                             "these, those whose predicted token is a stop word and those whose prefix has fewer than {} "
                             "tokens, beside the same among all cases. The first row is over all layers. 95 % intervals: "
                             "bootstrap over examples",
                             kShort),
      .columns = interval_columns("layer", {kNames.begin(), kNames.end()}),
      .rows = {{"all"}}};
  for (const Estimate& estimate : shares.overall) add_interval(table.rows.front(), estimate);
  for (std::size_t layer = 0; layer < shares.layers.size(); ++layer) {
    auto& row = table.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1)});
    for (const Estimate& estimate : shares.layers[layer]) add_interval(row, estimate);
  }
  return table;
}

/// Of the cases with agreement, beside all: without the share of agreement itself.
Figure share_figure(const LayerShares& shares) {
  Figure figure{.name = "agreeing-memories",
                .title = "Where a memory predicts what its layer does",
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "share of cases",
                .kind = Figure::Kind::lines,
                .series = {kNames.begin() + 1, kNames.end()},
                .data = {},
                .paper = {},
                .y_max = 1.0};
  figure.data.columns = interval_columns("layer", figure.series);
  for (std::size_t layer = 0; layer < shares.layers.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    for (const Estimate& estimate : std::span(shares.layers[layer]).subspan(1)) add_interval(figure, estimate);
  }
  return figure;
}

std::string found_text(const Shares& overall) {
  if (!(overall[0].value > 0)) return "No memory's own prediction is its layer's in any case.";
  return fmt::format(
      "Some memory agrees in {} of the cases. In {} of these the token is a stop word (all cases: {}), in {} the prefix has "
      "fewer than {} tokens (all cases: {}).",
      percent(overall[0]), percent(overall[1]), percent(overall[2]), percent(overall[3]), kShort, percent(overall[4]));
}

}  // namespace

Result agreeing_memories(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const bool counts_active = bench.options().agreeing == AgreeingMemories::active;
  const auto& counts = counts_active ? pass.agree_active : pass.agree_all;
  const Test agrees = [&](std::size_t, std::size_t at) { return counts[at] > 0; };
  const LayerShares shares = shares_of(bench, pass, agrees);
  Result result{.name = "agreeing-memories", .title = "What layer and memory agree on"};
  result.paper_place = "section 5.1";
  result.paper_found =
      "Where some memory's prediction is the layer's, the predicted token is a stop word in 60 % of the cases, and the prefix "
      "is shorter than 5 tokens in 43 %.";
  result.run_found = found_text(shares.overall);
  result.settings = stream_settings(bench, pass.examples, "lens", bench.options().value_lens);
  result.settings.emplace_back("memories", counts_active ? "those with a coefficient other than 0" : "all values, scored bare");
  result.settings.emplace_back("stop words", stop_word_list());
  for (std::size_t i = 0; i < kNames.size(); ++i) result.estimates.emplace_back(kNames[i], shares.overall[i]);
  result.tables = {layer_table(shares), token_table(bench, pass, agrees)};
  result.figures.push_back(share_figure(shares));
  return result;
}

}  // namespace ffmem::tools
