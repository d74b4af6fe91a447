#include "tools/experiments/memory_effects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "tools/experiments/effect_table.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

constexpr std::size_t kStrongest = 50;

/// One memory over the examples in which it is not 0.
struct Summary {
  std::size_t n = 0;
  double coefficient = 0.0;  // sums until finished: means
  double log_p_change = 0.0;
  double divergence = 0.0;
  double largest_log_p_change = 0.0;  // by size
  double largest_divergence = 0.0;
  std::size_t n_changed = 0;     // the model's prediction
  std::size_t n_prediction = 0;  // its own prediction is the model's
  std::vector<double> ranks{};   // of the model's prediction
};

std::vector<Summary> summarise(const EffectTable& table, std::size_t d_memory) {
  std::vector<Summary> summaries(d_memory);
  for (std::size_t i = 0; i < table.removals.size(); ++i) {
    const Removal& removal = table.removals[i];
    Summary& s = summaries[removal.unit];
    const auto change = static_cast<double>(removal.log_p_change);
    s.n += 1;
    s.coefficient += static_cast<double>(removal.coefficient);
    s.log_p_change += change;
    s.divergence += static_cast<double>(removal.divergence);
    if (std::abs(change) > std::abs(s.largest_log_p_change)) s.largest_log_p_change = change;
    s.largest_divergence = std::max(s.largest_divergence, static_cast<double>(removal.divergence));
    s.n_changed += removal.top_after != table.prediction[removal.example] ? 1 : 0;
    s.n_prediction += table.rank_prediction[i] == 0 ? 1 : 0;
    s.ranks.push_back(table.rank_prediction[i]);
  }
  for (Summary& s : summaries) {
    const auto n = static_cast<double>(s.n);
    s.coefficient /= n;
    s.log_p_change /= n;
    s.divergence /= n;
    std::ranges::sort(s.ranks);
  }
  return summaries;
}

Table memory_table(Workbench& bench, const EffectTable& table, const std::vector<Summary>& summaries) {
  Table memories{
      .name = "memories",
      .caption = fmt::format("Every memory of layer {} over the examples, of {}, in which its coefficient is not 0: what "
                             "its value, or where the mean coefficient is negative its value negated, predicts by itself, "
                             "the rank of the model's prediction there, and what removing the memory changes: the "
                             "log-probability of the model's prediction, the distribution (KL "
                             "divergence, nats), and the prediction",
                             table.layer + 1, table.examples.size()),
      .columns = {"layer", "unit", "value's prediction", "examples", "mean coefficient", "mean change of log p",
                  "largest change of log p", "mean divergence", "largest divergence", "share prediction changed",
                  "share own prediction is the model's", "median rank of the model's prediction"},
      .rows = {}};
  for (std::size_t unit = 0; unit < summaries.size(); ++unit) {
    const Summary& s = summaries[unit];
    const ValueTable& values = bench.values(s.coefficient < 0.0 ? ValueSign::minus : ValueSign::plus);
    const TokenId top = values.tokens[(table.layer * values.d_memory + unit) * values.k];
    const auto share = [&](std::size_t k) { return static_cast<double>(k) / static_cast<double>(s.n); };
    auto& row = memories.rows.emplace_back(
        std::vector<Cell>{count_cell(table.layer + 1), count_cell(unit), visible_token(bench.tokenizer().get(), top)});
    row.push_back(count_cell(s.n));
    if (s.n == 0) {
      row.resize(memories.columns.size(), std::string());
      continue;
    }
    for (const double number : {s.coefficient, s.log_p_change, s.largest_log_p_change, s.divergence, s.largest_divergence,
                                share(s.n_changed), share(s.n_prediction), quantile(s.ranks, 0.5)}) {
      row.emplace_back(number);
    }
  }
  return memories;
}

Table strongest_table(const Workbench& bench, const EffectTable& table) {
  std::vector<std::size_t> order(table.removals.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return table.removals[i].divergence; });
  order.resize(std::min(order.size(), kStrongest));
  Table strongest{.name = "strongest",
                  .caption = fmt::format("The {} removals that change the model's distribution most", order.size()),
                  .columns = {"layer", "unit", "prefix", "coefficient", "memory's own prediction", "model's prediction",
                              "without the memory", "change of log p", "divergence", "rank of the model's prediction",
                              "rank of the layer's prediction"},
                  .rows = {}};
  const auto text = [&](TokenId token) { return visible_token(bench.tokenizer().get(), token); };
  for (const std::size_t i : order) {
    const Removal& removal = table.removals[i];
    strongest.rows.push_back(
        {count_cell(table.layer + 1), count_cell(removal.unit), text_of(bench, table.examples.prefix(removal.example)),
         static_cast<double>(removal.coefficient), text(table.own_top[i]), text(table.prediction[removal.example]),
         text(removal.top_after), static_cast<double>(removal.log_p_change), static_cast<double>(removal.divergence),
         static_cast<std::int64_t>(table.rank_prediction[i]), static_cast<std::int64_t>(table.rank_layer[i])});
  }
  return strongest;
}

/// The figure's places on the axis of the memories, strongest first, in per cent.
std::vector<double> percents() {
  std::vector<double> places;
  for (int percent = 0; percent <= 100; percent += percent < 10 ? 1 : 5) places.push_back(percent);
  return places;
}

/// The mean divergences of memories at the places, ascending values given; NaN where there are none.
void read_curve(std::span<const double> ascending, std::span<const double> places, std::span<double> out) {
  for (std::size_t p = 0; p < places.size(); ++p) {
    out[p] = ascending.empty() ? kNaN : quantile(ascending, 1.0 - places[p] / 100.0);
  }
}

/// The memories that have a removal, by their mean divergence, ascending.
std::vector<std::size_t> weakest_first(const std::vector<Summary>& summaries) {
  std::vector<std::size_t> order;
  for (std::size_t unit = 0; unit < summaries.size(); ++unit) {
    if (summaries[unit].n > 0) order.push_back(unit);
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t unit) { return summaries[unit].divergence; });
  return order;
}

/// The curve of each memory's mean divergence over its examples. Intervals: bootstrap over the examples, of the same memories
/// in the same order; a resample without an example of the memory at a place does not count there, and there is no interval
/// where a memory has only one.
std::vector<Estimate> mean_curve(const EffectTable& table, const std::vector<Summary>& summaries,
                                 std::span<const double> places, Random random) {
  std::vector<std::vector<const Removal*>> of_example(table.examples.size());
  for (const Removal& removal : table.removals) of_example[removal.example].push_back(&removal);
  const std::vector<std::size_t> order = weakest_first(summaries);
  std::vector<double> means(order.size());
  std::vector<double> sums;
  std::vector<double> counts;
  const auto curve = [&](std::span<const std::size_t> drawn, std::span<double> out) {
    sums.assign(summaries.size(), 0.0);
    counts.assign(summaries.size(), 0.0);
    for (const std::size_t example : drawn) {
      for (const Removal* removal : of_example[example]) {
        sums[removal->unit] += static_cast<double>(removal->divergence);
        counts[removal->unit] += 1.0;
      }
    }
    std::ranges::transform(order, means.begin(), [&](std::size_t unit) { return sums[unit] / counts[unit]; });  // 0 / 0: NaN
    read_curve(means, places, out);
  };
  std::vector<Estimate> estimates = estimate_statistics(table.examples.size(), places.size(), curve, random);
  std::vector<double> fewest(places.size());  // examples; NaN spreads to every place that the memory takes part in
  std::ranges::transform(order, means.begin(), [&](std::size_t unit) { return summaries[unit].n < 2 ? kNaN : 0.0; });
  read_curve(means, places, fewest);
  for (std::size_t p = 0; p < places.size(); ++p) {
    if (std::isnan(fewest[p])) estimates[p].low = estimates[p].high = kNaN;
  }
  return estimates;
}

/// Mean divergence at places among the memories, strongest first, and the largest, of which resamples say nothing.
Figure effect_figure(const EffectTable& table, const std::vector<Summary>& summaries, Random random) {
  Figure figure{.name = "memory-effects",
                .title = fmt::format("What removing a memory of layer {} changes", table.layer + 1),
                .samples = {.of = "prefixes"},
                .x_label = "memories, strongest first (% of those ever active)",
                .y_label = "KL divergence (nats)",
                .kind = Figure::Kind::lines,
                .series = {"mean over its examples", "largest"},
                .data = {.columns = {"per cent", "mean", "mean low", "mean high", "largest", "largest low", "largest high"}},
                .paper = {},
                .log_y = true};
  std::vector<double> ascending;
  for (const Summary& s : summaries) {
    if (s.n > 0) ascending.push_back(s.largest_divergence);
  }
  std::ranges::sort(ascending);
  const std::vector<double> places = percents();
  std::vector<double> largest(places.size());
  read_curve(ascending, places, largest);
  if (!ascending.empty()) figure.samples.add(table.examples.size());
  const std::vector<Estimate> means = mean_curve(table, summaries, places, random);
  const auto cell = [](double x) { return x > 0.0 ? Cell(x) : Cell(std::string()); };  // a zero has no place on a log axis
  for (std::size_t p = 0; p < places.size() && !ascending.empty(); ++p) {
    figure.data.rows.push_back({places[p], cell(means[p].value), cell(means[p].low), cell(means[p].high), cell(largest[p]),
                                std::string(), std::string()});
  }
  return figure;
}

/// Sums over each example's removals, for shares among cases that come in groups.
struct CaseShares {
  std::vector<double> n, changed, own_is_model, own_is_layer, divergence, change;
  std::size_t n_examples_changed = 0;
};
CaseShares case_shares(const EffectTable& table) {
  const std::size_t n = table.examples.size();
  CaseShares shares;
  for (auto* sums :
       {&shares.n, &shares.changed, &shares.own_is_model, &shares.own_is_layer, &shares.divergence, &shares.change}) {
    sums->resize(n);
  }
  for (std::size_t i = 0; i < table.removals.size(); ++i) {
    const Removal& removal = table.removals[i];
    const std::size_t e = removal.example;
    shares.n[e] += 1;
    shares.changed[e] += removal.top_after != table.prediction[e] ? 1 : 0;
    shares.own_is_model[e] += table.rank_prediction[i] == 0 ? 1 : 0;
    shares.own_is_layer[e] += table.rank_layer[i] == 0 ? 1 : 0;
    shares.divergence[e] += static_cast<double>(removal.divergence);
    shares.change[e] += std::abs(static_cast<double>(removal.log_p_change));
  }
  shares.n_examples_changed = static_cast<std::size_t>(std::ranges::count_if(shares.changed, [](double k) { return k > 0; }));
  return shares;
}

std::string_view method_text(RemovalMethod method) {
  switch (method) {
    case RemovalMethod::algebra:
      return "the change of every logit in closed form (the last layer's output is linear in its memories, up to one norm)";
    case RemovalMethod::output_vectors:
      return "each output vector without the memory, through the norms behind the layer and the vocabulary";
    case RemovalMethod::whole_passes:
      return "a forward pass for each case, with the coefficient at the last position set to 0";
  }
  return "";
}

Settings settings_of(const Workbench& bench, const EffectTable& table) {
  Settings settings = stream_settings(bench, table.examples, "lens", bench.options().value_lens);
  settings.emplace_back("prediction, its log-probability, divergence",
                        "the model's own, behind its final norm whatever the lens");
  settings.emplace_back("layer", std::to_string(table.layer + 1));
  settings.emplace_back("removed",
                        "one memory at a time, at the prefix's last position; only memories with a coefficient other than 0");
  settings.emplace_back("method", method_text(table.method));
  settings.emplace_back("divergence", "KL(with the memory || without it), in nats");
  settings.emplace_back("memory's own prediction", "the value scored bare, or its negative where the coefficient is negative");
  return settings;
}

}  // namespace

Result memory_effects(Workbench& bench) {
  const EffectTable table = effect_table(bench);
  const std::vector<Summary> summaries = summarise(table, bench.d_memory());
  const CaseShares shares = case_shares(table);
  const auto ratio = [&](const char* what, const std::vector<double>& parts) {
    return estimate_ratio(parts, shares.n, bench.random(fmt::format("memory-effects/interval/{}", what)));
  };
  const auto share = [&](const char* what, const std::vector<double>& parts) {
    return estimate_grouped_share(parts, shares.n, bench.random(fmt::format("memory-effects/interval/{}", what)));
  };
  const Estimate changed = share("changed", shares.changed);
  const Estimate own_is_model = share("own is model", shares.own_is_model);
  const Estimate own_is_layer = share("own is layer", shares.own_is_layer);
  const Estimate divergence = ratio("divergence", shares.divergence);
  const Estimate change = ratio("change", shares.change);
  const Estimate examples =
      estimate_share(shares.n_examples_changed, table.examples.size(), bench.random("memory-effects/interval/examples"));

  Result result{.name = "memory-effects", .title = "What each memory does to the model's output"};
  result.paper_place = "not in the paper; its authors' code extracts the same removals (`dim`) without using them";
  result.paper_found = "The paper reports no numbers for single memories' effects on the output.";
  result.run_found = fmt::format(
      "{} removals of memories of layer {} on {} prefixes. One removal changes the model's prediction in {} of the cases; {} "
      "of the prefixes have a memory whose removal alone does. On average the log-probability of the prediction moves by "
      "{:.4g} and the distribution by a KL divergence of {:.4g} nats. The memory's own prediction is the model's in {} of the "
      "cases, and the layer's in {}.",
      table.removals.size(), table.layer + 1, table.examples.size(), percent(changed), percent(examples), change.value,
      divergence.value, percent(own_is_model), percent(own_is_layer));
  if (table.removals.empty()) {
    result.run_found =
        fmt::format("There is nothing to remove: no memory of layer {} has a coefficient other than 0 on any of {} prefixes.",
                    table.layer + 1, table.examples.size());
  }
  result.settings = settings_of(bench, table);
  result.estimates = {{"prediction changed", changed},
                      {"prefixes with a memory that changes the prediction", examples},
                      {"mean |change of log p|", change},
                      {"mean divergence", divergence},
                      {"own prediction is the model's", own_is_model},
                      {"own prediction is the layer's", own_is_layer}};
  result.figures.push_back(effect_figure(table, summaries, bench.random("memory-effects/interval/curve")));
  result.tables = {memory_table(bench, table, summaries), strongest_table(bench, table)};
  return result;
}

}  // namespace ffmem::tools
