#include "tools/experiments/value_ranks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/experiments/value_scores.hpp"

namespace ffmem::tools {
namespace {

constexpr double kPaperVocabulary = 267744.0;

std::vector<double> ranks_of_layer(const ValueScores& scores, std::size_t layer) {
  std::vector<double> ranks;
  for (std::size_t unit = 0; unit < scores.d_memory; ++unit) {
    const std::int32_t rank = scores.rank[layer * scores.d_memory + unit];
    if (rank >= 0) ranks.push_back(static_cast<double>(rank));
  }
  return ranks;
}

Estimate estimate_median(const std::vector<double>& values, Random random) {
  std::vector<double> drawn(values.size());
  return estimate_statistic(
      values.size(),
      [&](std::span<const std::size_t> chosen) {
        std::ranges::transform(chosen, drawn.begin(), [&](std::size_t i) { return values[i]; });
        std::ranges::sort(drawn);
        return quantile(drawn, 0.5);
      },
      random);
}

/// The middle of what the paper's text says of its medians, as a share of its vocabulary times ours.
std::optional<Table> paper_medians(std::size_t n_layers, std::size_t vocab_size) {
  if (!paper_layer(1, n_layers)) return std::nullopt;
  Table table{.columns = {"layer", "median"}};
  for (const double layer : {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 14.0, 15.0, 16.0}) {
    const double rank = layer <= 7 ? 12500.0 : 1000.0;
    table.rows.push_back({*paper_layer(layer, n_layers), rank * static_cast<double>(vocab_size) / kPaperVocabulary});
  }
  return table;
}

Figure box_figure(const std::vector<Box>& boxes, std::size_t vocab_size, Target target) {
  Figure figure{.name = "value-ranks",
                .title = fmt::format("Where values rank {} their key's best trigger example", target_text(target)),
                .samples = {.of = "keys"},
                .x_label = "layer",
                .y_label = fmt::format("rank among {} tokens", vocab_size),
                .kind = Figure::Kind::boxes,
                .data = {.columns = {"layer", "low", "quartile1", "median", "quartile3", "high"}},
                .paper = paper_medians(boxes.size(), vocab_size),
                .paper_label = "the paper's medians, times V / 267,744"};
  for (std::size_t layer = 0; layer < boxes.size(); ++layer) {
    figure.data.rows.push_back({count_cell(layer + 1)});
    add_box(figure, boxes[layer]);
  }
  return figure;
}

/// The same from 1, so that the best rank has a place on a logarithmic axis.
Figure on_log_axis(Figure figure) {
  figure.name = "value-ranks-log";
  figure.y_label = "1 + " + figure.y_label;
  figure.log_y = true;
  for (auto& row : figure.data.rows) {
    for (std::size_t c = 1; c < row.size(); ++c) std::get<double>(row[c]) += 1.0;
  }
  if (!figure.paper) return figure;
  for (auto& row : figure.paper->rows) std::get<double>(row[1]) += 1.0;
  return figure;
}

std::string found_text(const std::vector<Estimate>& medians, std::size_t vocab_size, const std::string& left_out) {
  const Extremes found = extremes(values_of(medians));
  const Estimate& lowest = medians[found.lowest - 1];
  if (std::isnan(lowest.value)) return "No key has a trigger example to compare its value with. " + left_out;
  return fmt::format(
      "The median rank is {:.0f} in layer {} and {:.0f} in layer {}; it is lowest in layer {}, {:.0f} ({:.0f} to {:.0f}). "
      "Random orders of the {} tokens would have {:.0f}. {}",
      medians[found.first - 1].value, found.first, medians[found.last - 1].value, found.last, found.lowest, lowest.value,
      lowest.low, lowest.high, vocab_size, (static_cast<double>(vocab_size) - 1.0) / 2.0, left_out);
}

}  // namespace

Result value_ranks(Workbench& bench) {
  const ValueScores scores = value_scores(bench);
  const std::size_t vocab_size = bench.model()->config().vocab_size;
  const Target target = bench.options().target;
  Table layers{
      .name = "layers",
      .caption = fmt::format(
          "Per layer: the rank, from 0, of {} the key's best trigger example among the tokens by the value's probability "
          "(equal ones by smaller id): median with its 95 % interval (bootstrap over keys), quartiles, the outermost ranks "
          "within 1.5 interquartile ranges of the box, mean, and the mean log-probability",
          target_text(target)),
      .columns = {"layer", "keys", "median", "median low", "median high", "low", "quartile1", "quartile3", "high", "mean",
                  "mean log-probability"},
      .rows = {}};
  Result result{.name = "value-ranks",
                .title = fmt::format("How well values rank {} their key's trigger examples", target_text(target))};
  std::vector<Box> boxes;
  std::vector<Estimate> medians;
  std::vector<KeyTargets> keys;
  for (std::size_t layer = 0; layer < scores.n_layers; ++layer) {
    const std::vector<double> ranks = ranks_of_layer(scores, layer);
    boxes.push_back(box_of(ranks));
    medians.push_back(estimate_median(ranks, bench.random(fmt::format("value-ranks/interval/{}", layer))));
    keys.push_back(key_targets(bench.triggers(), layer, target));
    double log_p = 0.0;
    for (std::size_t unit = 0; unit < scores.d_memory; ++unit) {
      const std::size_t at = layer * scores.d_memory + unit;
      if (scores.rank[at] >= 0) log_p += static_cast<double>(scores.log_probability[at]);
    }
    const Box& box = boxes.back();
    std::vector<Cell> row{count_cell(layer + 1), count_cell(box.n)};
    add_interval(row, medians.back());
    for (const double x : {box.low, box.quartile1, box.quartile3, box.high, box.mean}) row.emplace_back(x);
    row.emplace_back(log_p / static_cast<double>(box.n));  // NaN where there are no keys
    layers.rows.push_back(std::move(row));
    result.estimates.emplace_back(fmt::format("layer {} median rank", layer + 1), medians.back());
  }
  result.paper_place = "section 4, Figure 5";
  result.paper_found =
      "Among the paper's 267,744 tokens the median rank is 10,000 to 15,000 in layers 1 to 7, falls from layer 8 on, and is "
      "near 0 "
      "to 2,000 in layers 14 to 16.";
  result.run_found =
      concat(negation_text(bench.options()), found_text(medians, vocab_size, without_target_text(keys, bench.options())));
  result.settings = value_settings(bench);
  result.tables.push_back(std::move(layers));
  result.figures.push_back(box_figure(boxes, vocab_size, target));
  result.figures.push_back(on_log_axis(result.figures.back()));
  return result;
}

}  // namespace ffmem::tools
