#include "tools/experiments/active_memories.hpp"

#include <fmt/format.h>

#include <cmath>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"

namespace ffmem::tools {
namespace {

/// The middles of the ranges that the paper's text gives for its Figure 7.
const std::vector<std::pair<double, double>> kPaperMedians{{1, 0.45}, {10, 0.125}, {16, 0.175}};

std::vector<std::string> box_columns(const std::string& of) {
  std::vector<std::string> columns;
  for (const char* part : {" low", " quartile1", " median", " quartile3", " high"}) columns.push_back(of + part);
  return columns;
}

Figure box_figure(std::string name, std::string title, std::string y_label) {
  Figure figure{.name = std::move(name),
                .title = std::move(title),
                .x_label = "layer",
                .y_label = std::move(y_label),
                .kind = Figure::Kind::boxes,
                .series = {},
                .data = {.columns = {"layer"}},
                .paper = {}};
  for (const std::string& column : box_columns("share")) figure.data.columns.push_back(column);
  return figure;
}

}  // namespace

Result active_memories(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const double d_memory = static_cast<double>(bench.d_memory());
  const float above = bench.options().active_above;
  Table layers{
      .name = "layers",
      .caption = fmt::format("Per layer over {} prefixes, as shares of the {} memories: those with |coefficient| > {} "
                             "(mean with 95 % interval, and the box of the figure), and the fewest that together carry 90 "
                             "% of the sum of |coefficient| times the value's length",
                             pass.examples.size(), bench.d_memory(), above),
      .columns = {"layer", "examples", "active", "active low", "active high"},
      .rows = {}};
  for (const auto& column : box_columns("active box")) layers.columns.push_back(column);
  for (const char* column : {"mass", "mass low", "mass high"}) layers.columns.emplace_back(column);
  for (const auto& column : box_columns("mass box")) layers.columns.push_back(column);
  Figure active_figure = box_figure("active-memories", "Active memories", "share of the layer's memories");
  active_figure.paper = paper_points(pass.n_layers, "share median", kPaperMedians);
  Figure mass_figure =
      box_figure("mass", "Memories that carry 90 % of the layer's mass, sum |m||v|", "share of the layer's memories");

  std::vector<Estimate> active, mass;
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    const auto active_shares = at_layer(pass, layer, [&](std::size_t at) { return pass.active[at] / d_memory; });
    const auto mass_shares = at_layer(pass, layer, [&](std::size_t at) { return pass.mass[at] / d_memory; });
    active.push_back(estimate_mean(active_shares, bench.random(fmt::format("active-memories/interval/{}", layer))));
    mass.push_back(estimate_mean(mass_shares, bench.random(fmt::format("active-memories/mass/interval/{}", layer))));
    const Box active_box = box_of(active_shares);
    const Box mass_box = box_of(mass_shares);
    auto& row = layers.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    add_interval(row, active.back());
    add_box(row, active_box);
    add_interval(row, mass.back());
    add_box(row, mass_box);
    add_box(active_figure.data.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1)}), active_box);
    add_box(mass_figure.data.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1)}), mass_box);
  }

  Result result{.name = "active-memories", .title = "How many memories a layer's output is made of"};
  result.paper_place = "section 5.1, Figure 7";
  result.paper_found =
      "Between 10 and 50 % of a layer's memories are active: 40 to 50 % in the low layers, fewest (10 to 15 %) near layer 10, "
      "and 15 to 20 % above it. (Points: the middles of these ranges.)";
  const Extremes found = extremes(values_of(active));
  const Extremes found_mass = extremes(values_of(mass));
  result.run_found =
      active[found.lowest - 1].low == 1.0
          ? "Every memory of every layer is active, because this activation is hardly ever exactly 0 "
            "(--active-above sets another threshold). "
          : fmt::format(
                "On average {} of a layer's memories are active in layer {}, the most, and {} in layer {}, "
                "the fewest. ",
                percent(active[found.highest - 1]), found.highest, percent(active[found.lowest - 1]), found.lowest);
  result.run_found += fmt::format(
      "90 % of the mass is carried by {} of the memories in layer {}, the most, and by {} in layer {}, the fewest.",
      percent(mass[found_mass.highest - 1]), found_mass.highest, percent(mass[found_mass.lowest - 1]), found_mass.lowest);
  result.settings = sample_settings(bench, pass.examples);
  result.settings.emplace_back("active", fmt::format("|coefficient| > {}", above));
  result.settings.emplace_back("mass", "|coefficient| times the length of the value");
  add_estimates(result, "active", active);
  add_estimates(result, "mass", mass);
  result.tables.push_back(std::move(layers));
  result.figures = {std::move(active_figure), std::move(mass_figure)};
  return result;
}

}  // namespace ffmem::tools
