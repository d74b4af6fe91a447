#include "tools/experiments/token_removal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

/// One layer's numbers.
struct LayerChange {
  std::array<Estimate, kRemovals> change;  // per cent, over keys
  std::size_t n_keys = 0;                  // with an example of two tokens or more
  std::size_t n_examples = 0;              // used
  std::size_t n_short = 0;                 // of one token, skipped
};

/// The mean relative change over one key's examples, in per cent; NaN where it has none that can be shortened.
double key_change(const RemovedCoefficients& table, std::size_t first, std::size_t removal) {
  double sum = 0.0;
  std::size_t n = 0;
  for (std::size_t i = first; i < first + table.top; ++i) {
    const auto removed = static_cast<double>(table.removed_coefficient[i * kRemovals + removal]);
    if (std::isnan(removed)) continue;
    sum += removed / static_cast<double>(table.coefficient[i]) - 1.0;
    ++n;
  }
  return 100.0 * sum / static_cast<double>(n);
}

LayerChange measure(const RemovedCoefficients& table, std::size_t layer, const Workbench& bench) {
  LayerChange found;
  const std::size_t begin = layer * table.n_keys * table.top;
  for (std::size_t i = begin; i < begin + table.n_keys * table.top; ++i) {
    found.n_examples += table.n_prefix_tokens[i] > 1 ? 1 : 0;
    found.n_short += table.n_prefix_tokens[i] == 1 ? 1 : 0;
  }
  for (std::size_t removal = 0; removal < kRemovals; ++removal) {
    std::vector<double> changes;
    for (std::size_t k = 0; k < table.n_keys; ++k) {
      const double change = key_change(table, begin + k * table.top, removal);
      if (!std::isnan(change)) changes.push_back(change);
    }
    found.n_keys = changes.size();
    found.change[removal] = estimate_mean(changes, bench.random(fmt::format("token-removal/interval/{}/{}", layer, removal)));
  }
  return found;
}

/// What the paper's text says of its curves: the last token's ends, and the middle of the others' ranges.
std::optional<Table> paper_values(std::size_t n_layers) {
  if (!paper_layer(1, n_layers)) return std::nullopt;
  const double none = std::numeric_limits<double>::quiet_NaN();
  Table table{.columns = {"layer", "first", "last", "random"}};
  for (const double layer : {1.0, 6.0, 11.0, 16.0}) {
    const double last = layer == 1.0 ? -70.0 : layer == 16.0 ? -20.0 : none;
    std::vector<Cell> row;
    for (const double number : {*paper_layer(layer, n_layers), -12.5, last, -17.5}) row.emplace_back(number);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Figure change_figure(const std::vector<LayerChange>& layers) {
  Figure figure{.name = "token-removal",
                .title = "Removing a token of a trigger example",
                .samples = {.of = "keys"},
                .x_label = "layer",
                .y_label = "change of the coefficient (%)",
                .kind = Figure::Kind::lines,
                .series = {kRemovalNames.begin(), kRemovalNames.end()},
                .paper = paper_values(layers.size())};
  figure.data.columns = interval_columns("layer", figure.series);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    for (const Estimate& change : layers[layer].change) add_interval(figure, change);
  }
  return figure;
}

Table layer_table(const std::vector<LayerChange>& layers) {
  Table table{
      .name = "layers",
      .caption =
          "Per layer: the relative change of the coefficient, m'/m - 1 in per cent, after removing the first, the last or "
          "one random token of a trigger example: the mean over keys of the mean over each key's examples, with its 95 % "
          "interval (bootstrap over keys). Examples of one token are skipped",
      .columns = interval_columns("layer", {"first", "last", "random"}),
      .rows = {}};
  for (const char* column : {"keys", "examples", "examples of one token"}) table.columns.emplace_back(column);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const LayerChange& found = layers[layer];
    std::vector<Cell> row{count_cell(layer + 1)};
    for (const Estimate& change : found.change) add_interval(row, change);
    for (const std::size_t n : {found.n_keys, found.n_examples, found.n_short}) row.push_back(count_cell(n));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string found_text(const std::vector<LayerChange>& layers, std::size_t keys_per_layer) {
  const auto change = [](const LayerChange& layer, std::size_t removal) { return layer.change[removal].value; };
  std::size_t n_keys = 0;
  std::size_t n_short = 0;
  for (const LayerChange& layer : layers) {
    n_keys += layer.n_keys;
    n_short += layer.n_short;
  }
  if (n_keys == 0) return "No key of the sample has a trigger example of two tokens or more.";
  const auto has_keys = [](const LayerChange& layer) { return layer.n_keys > 0; };
  const LayerChange& first = *std::ranges::find_if(layers, has_keys);
  const LayerChange& last = *std::ranges::find_if(layers.rbegin(), layers.rend(), has_keys);
  const auto number = [&](const LayerChange& layer) { return &layer - layers.data() + 1; };
  return fmt::format(
      "Without its last token an example's coefficient changes by {:.1f} % in layer {} and {:.1f} % in layer {}, without its "
      "first by {:.1f} % and {:.1f} %, without a random one by {:.1f} % and {:.1f} %. {} of {} keys drawn have an example that "
      "can be shortened; {} examples of one token were skipped.",
      change(first, 1), number(first), change(last, 1), number(last), change(first, 0), change(last, 0), change(first, 2),
      change(last, 2), n_keys, keys_per_layer * layers.size(), n_short);
}

}  // namespace

Result token_removal(Workbench& bench) {
  const RemovedCoefficients table = removed_coefficients(bench);
  std::vector<LayerChange> layers;
  for (std::size_t layer = 0; layer < table.n_layers; ++layer) layers.push_back(measure(table, layer, bench));
  Result result{
      .name = "token-removal",
      .title = "Which token of a trigger example matters",
      .paper_place = "section 3.2, Figure 3",
      .paper_found =
          "Removing the last token lowers the coefficient by about 70 % in layer 1, falling to about 20 % in layer 16; "
          "removing the first by about 10 to 15 % and a random one by about 15 to 20 % in all layers.",
      .run_found = found_text(layers, table.n_keys),
      .settings = trigger_settings(bench)};
  result.settings.emplace_back("keys per layer", std::to_string(table.n_keys));
  result.settings.emplace_back("random token", "any of the prefix, first and last included");
  result.settings.emplace_back("coefficient", "m, after the activation");
  if (bench.prefix_token()) result.settings.emplace_back("never removed", "the token fed before each sentence");
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    for (std::size_t removal = 0; removal < kRemovals; ++removal) {
      result.estimates.emplace_back(fmt::format("layer {} {} %", layer + 1, kRemovalNames[removal]),
                                    layers[layer].change[removal]);
    }
  }
  result.tables.push_back(layer_table(layers));
  result.figures.push_back(change_figure(layers));
  return result;
}

}  // namespace ffmem::tools
