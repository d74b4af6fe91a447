#include "tools/experiments/zero_agreement.hpp"

#include <fmt/format.h>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

Settings settings_of(const Workbench& bench, const LayerPass& pass) {
  Settings settings = stream_settings(bench, pass.examples, "lens", bench.options().value_lens);
  const bool bare = !ValuePredictions::scores_weighted(*bench.model(), bench.options().value_lens);
  settings.emplace_back("active memories are",
                        bare ? "memories with a coefficient other than 0; scored bare, by their sign (a norm or a bias stands "
                               "between value and softmax)"
                             : "memories with a coefficient other than 0, scored times their coefficient; the others are zero "
                               "vectors, which predict nothing");
  settings.emplace_back("all memories are", "every value of the layer, scored bare");
  settings.emplace_back("figure and text are of", bench.options().agreeing == AgreeingMemories::active ? "active" : "all");
  return settings;
}

double mean_at(const LayerPass& pass, std::size_t layer, const std::vector<std::int32_t>& counts) {
  double sum = 0.0;
  for (std::size_t i = 0; i < pass.examples.size(); ++i) sum += counts[pass.at(i, layer)];
  return sum / static_cast<double>(pass.examples.size());
}

Table layer_table(const LayerPass& pass, const std::vector<Estimate>& active, const std::vector<Estimate>& all) {
  Table table{
      .name = "layers",
      .caption = fmt::format("Per layer, the share of {} prefixes for which no memory's own prediction is the one of the "
                             "layer's output, with 95 % interval, and how many memories agree on average; once among "
                             "active memories, once among all values",
                             pass.examples.size()),
      .columns = {"layer", "examples", "active zero", "active zero low", "active zero high", "active agreeing mean", "all zero",
                  "all zero low", "all zero high", "all agreeing mean"},
      .rows = {}};
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    auto& row = table.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    add_interval(row, active[layer]);
    row.emplace_back(mean_at(pass, layer, pass.agree_active));
    add_interval(row, all[layer]);
    row.emplace_back(mean_at(pass, layer, pass.agree_all));
  }
  return table;
}

Figure share_figure(const std::vector<Estimate>& shares, bool of_active) {
  Figure figure{.name = "zero-agreement",
                .title = of_active ? "No active memory predicts what the layer does" : "No value predicts what the layer does",
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "share of examples",
                .kind = Figure::Kind::bars,
                .series = {"zero agreement"},
                .data = {.columns = interval_columns("layer", {"zero agreement"})},
                .paper = paper_points(shares.size(), "zero agreement", {{8, 0.875}}),
                .y_max = 1.0};
  for (std::size_t layer = 0; layer < shares.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    add_interval(figure, shares[layer]);
  }
  return figure;
}

}  // namespace

Result zero_agreement(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const auto active =
      layer_shares(bench, pass, "zero-agreement/active", [&](std::size_t at) { return pass.agree_active[at] == 0; });
  const auto all = layer_shares(bench, pass, "zero-agreement/all", [&](std::size_t at) { return pass.agree_all[at] == 0; });
  const bool draws_active = bench.options().agreeing == AgreeingMemories::active;
  const auto& drawn = draws_active ? active : all;
  const Extremes found = extremes(values_of(drawn));
  Result result{.name = "zero-agreement", .title = "Layers whose prediction no memory makes by itself"};
  result.paper_place = "section 5.1, Figure 8";
  result.paper_found =
      "In at least about 68 % of the examples of every layer, and in 85 to 90 % in the middle layers, the layer's prediction "
      "differs from that of each of its memories: the layer composes them. (Point: the middle of the range for the middle "
      "layers.)";
  result.run_found = fmt::format(
      "The share of examples in which no {} predicts what the layer's output does is lowest in layer {}, {}, and highest in "
      "layer {}, {}.",
      draws_active ? "memory with a coefficient other than 0" : "value", found.lowest, percent(drawn[found.lowest - 1]),
      found.highest, percent(drawn[found.highest - 1]));
  result.settings = settings_of(bench, pass);
  add_estimates(result, "zero agreement, active", active);
  add_estimates(result, "zero agreement, all", all);
  result.tables.push_back(layer_table(pass, active, all));
  result.figures.push_back(share_figure(drawn, draws_active));
  return result;
}

}  // namespace ffmem::tools
