#include "tools/experiments/residual_predictions.hpp"

#include <fmt/format.h>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {

Result residual_predictions(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const auto shares = layer_shares(bench, pass, "residual-predictions", [&](std::size_t at) {
    return pass.residual[at] == pass.final_prediction(at / pass.n_layers);
  });
  Table layers{
      .name = "layers",
      .caption = fmt::format("Per layer, the share of {} prefixes for which the residual stream before the feed-forward "
                             "layer predicts what the last layer's output does, with 95 % interval",
                             pass.examples.size()),
      .columns = {"layer", "examples", "share", "share low", "share high"},
      .rows = {}};
  Figure figure{.name = "residual-predictions",
                .title = "The residual stream predicts what the model will",
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "share of examples",
                .kind = Figure::Kind::bars,
                .series = {"share of examples"},
                .data = {.columns = interval_columns("layer", {"share of examples"})},
                .paper = paper_points(pass.n_layers, "share of examples", {{1, 1.0 / 3.0}, {16, 0.95}}),
                .y_max = 1.0};
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    add_interval(layers.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())}),
                 shares[layer]);
    figure.data.rows.push_back({count_cell(layer + 1)});
    add_interval(figure, shares[layer]);
  }
  const auto values = values_of(shares);
  std::size_t half = 0;
  while (half < values.size() && values[half] < 0.5) ++half;

  Result result{.name = "residual-predictions", .title = "Where the prediction is in the residual stream already"};
  result.paper_place = "section 5.2, Figure 9";
  result.paper_found =
      "In about a third of the examples the residual stream predicts the model's output in the low layers already; the share "
      "grows fast from layer 10 on, to about 95 % in layer 16. (Points: the first and the last layer.)";
  result.run_found = fmt::format(
      "The residual stream predicts what the model does in {} of the examples in layer 1 and in {} in "
      "layer {}{}.",
      percent(shares.front()), percent(shares.back()), shares.size(),
      half < values.size() ? fmt::format("; in half of them first in layer {}", half + 1) : "");
  result.settings = stream_settings(bench, pass.examples, "stream lens", bench.options().stream_lens);
  add_estimates(result, "residual predicts the output", shares);
  result.tables.push_back(std::move(layers));
  result.figures.push_back(std::move(figure));
  return result;
}

}  // namespace ffmem::tools
