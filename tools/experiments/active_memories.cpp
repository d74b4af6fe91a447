#include "tools/experiments/active_memories.hpp"

#include <fmt/format.h>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

/// The middles of the ranges that the paper's text gives for its Figure 7.
const std::vector<std::pair<double, double>> kPaperMedians{{1, 0.45}, {10, 0.125}, {16, 0.175}};

std::vector<std::string> box_columns(const std::string& of) {
  std::vector<std::string> columns;
  for (const char* part : {" low", " quartile1", " median", " quartile3", " high"}) columns.push_back(of + part);
  return columns;
}

/// A share of the layer's memories: its mean, and its box, in each layer.
struct LayerShares {
  std::vector<Estimate> mean;
  std::vector<Box> box;
};

LayerShares layer_shares_of(const Workbench& bench, const LayerPass& pass, const std::vector<std::int32_t>& counts,
                            const std::string& purpose) {
  LayerShares shares;
  const auto d_memory = static_cast<double>(bench.d_memory());
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    const auto values = at_layer(pass, layer, [&](std::size_t at) { return counts[at] / d_memory; });
    shares.mean.push_back(estimate_mean(values, bench.random(fmt::format("active-memories/{}/{}", purpose, layer))));
    shares.box.push_back(box_of(values));
  }
  return shares;
}

Table layer_table(const Workbench& bench, const LayerPass& pass, const LayerShares& active, const LayerShares& mass) {
  Table table{
      .name = "layers",
      .caption = fmt::format("Per layer over {} prefixes, as shares of the {} memories: those with |coefficient| > {} "
                             "(mean with 95 % interval, and the box of the figure), and the fewest that together carry 90 "
                             "% of the sum of |coefficient| times the value's length",
                             pass.examples.size(), bench.d_memory(), bench.options().active_above),
      .columns = {"layer", "examples", "active", "active low", "active high"},
      .rows = {}};
  for (const auto& column : box_columns("active box")) table.columns.push_back(column);
  for (const char* column : {"mass", "mass low", "mass high"}) table.columns.emplace_back(column);
  for (const auto& column : box_columns("mass box")) table.columns.push_back(column);
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    auto& row = table.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    for (const LayerShares* shares : {&active, &mass}) {
      add_interval(row, shares->mean[layer]);
      add_box(row, shares->box[layer]);
    }
  }
  return table;
}

Figure box_figure(std::string name, std::string title, const LayerShares& shares) {
  Figure figure{.name = std::move(name),
                .title = std::move(title),
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "share of the layer's memories",
                .kind = Figure::Kind::boxes,
                .series = {},
                .data = {.columns = {"layer", "low", "quartile1", "median", "quartile3", "high"}},
                .paper = {}};
  for (std::size_t layer = 0; layer < shares.box.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    add_box(figure, shares.box[layer]);
  }
  return figure;
}

std::string found_text(const std::vector<Estimate>& active, const std::vector<Estimate>& mass) {
  const Extremes found = extremes(values_of(active));
  const Extremes found_mass = extremes(values_of(mass));
  const std::string text =
      active[found.lowest - 1].low == 1.0
          ? "Every memory of every layer is active, because this activation is hardly ever exactly 0 "
            "(--active-above sets another threshold). "
          : fmt::format(
                "On average {} of a layer's memories are active in layer {}, the most, and {} in layer {}, "
                "the fewest. ",
                percent(active[found.highest - 1]), found.highest, percent(active[found.lowest - 1]), found.lowest);
  return text +
         fmt::format(
             "90 % of the mass is carried by {} of the memories in layer {}, the most, and by {} in layer {}, the fewest.",
             percent(mass[found_mass.highest - 1]), found_mass.highest, percent(mass[found_mass.lowest - 1]),
             found_mass.lowest);
}

}  // namespace

Result active_memories(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const LayerShares active = layer_shares_of(bench, pass, pass.active, "interval");
  const LayerShares mass = layer_shares_of(bench, pass, pass.mass, "mass/interval");
  Result result{.name = "active-memories", .title = "How many memories a layer's output is made of"};
  result.paper_place = "section 5.1, Figure 7";
  result.paper_found =
      "Between 10 and 50 % of a layer's memories are active: 40 to 50 % in the low layers, fewest (10 to 15 %) near layer 10, "
      "and 15 to 20 % above it. (Points: the middles of these ranges.)";
  result.run_found = found_text(active.mean, mass.mean);
  result.settings = sample_settings(bench, pass.examples);
  result.settings.emplace_back("active", fmt::format("|coefficient| > {}", bench.options().active_above));
  result.settings.emplace_back("mass", "|coefficient| times the length of the value");
  add_estimates(result, "active", active.mean);
  add_estimates(result, "mass", mass.mean);
  result.tables.push_back(layer_table(bench, pass, active, mass));
  result.figures = {box_figure("active-memories", "Active memories", active),
                    box_figure("mass", "Memories that carry 90 % of the layer's mass, sum |m||v|", mass)};
  result.figures.front().paper = paper_points(pass.n_layers, "median", kPaperMedians);
  return result;
}

}  // namespace ffmem::tools
