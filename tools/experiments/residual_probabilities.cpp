#include "tools/experiments/residual_probabilities.hpp"

#include <fmt/format.h>

#include <cmath>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {

Result residual_probabilities(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  Table layers{
      .name = "layers",
      .caption = fmt::format("Per layer over {} prefixes, the probability that the residual stream before the feed-forward "
                             "layer gives the prediction of the last layer's output: mean with 95 % interval, and the box "
                             "of the figure",
                             pass.examples.size()),
      .columns = {"layer", "examples", "mean", "mean low", "mean high", "low", "quartile1", "median", "quartile3", "high"},
      .rows = {}};
  Figure figure{.name = "residual-probabilities",
                .title = "What the residual stream gives the model's prediction",
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "probability",
                .kind = Figure::Kind::boxes,
                .series = {},
                .data = {.columns = {"layer", "low", "quartile1", "median", "quartile3", "high"}},
                .paper = {},
                .y_max = 1.0};
  std::vector<Estimate> means;
  std::vector<double> medians;
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    const auto p = at_layer(pass, layer, [&](std::size_t at) { return std::exp(static_cast<double>(pass.log_p_final[at])); });
    means.push_back(estimate_mean(p, bench.random(fmt::format("residual-probabilities/interval/{}", layer))));
    const Box box = box_of(p);
    medians.push_back(box.median);
    auto& row = layers.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    add_interval(row, means.back());
    add_box(row, box);
    figure.data.rows.push_back({count_cell(layer + 1)});
    add_box(figure, box);
  }

  Result result{.name = "residual-probabilities", .title = "How probable the residual stream finds the model's prediction"};
  result.paper_place = "section 5.2, Figure 10";
  result.paper_found =
      "The probability that the residual stream gives the model's prediction grows towards the upper layers, as the share of "
      "examples in which it is the most probable one does (Figure 9).";
  result.run_found = fmt::format(
      "The residual stream's mean probability of the model's prediction is {} in layer 1 and {} in layer {}; the "
      "medians are {} and {}.",
      percent(means.front()), percent(means.back()), means.size(), percent(medians.front()), percent(medians.back()));
  result.settings = stream_settings(bench, pass.examples, "stream lens", bench.options().stream_lens);
  add_estimates(result, "mean probability", means);
  result.tables.push_back(std::move(layers));
  result.figures.push_back(std::move(figure));
  return result;
}

}  // namespace ffmem::tools
