#include "tools/experiments/predictive_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kBins = 20;
constexpr std::size_t kBest = 100;

struct Value {
  std::size_t layer = 0;
  std::size_t unit = 0;
  TokenId prediction = 0;
  double max_p = 0.0;
  std::optional<bool> agrees{};  // none where its key has no target
};

/// Every value of the model, the surest first, then by layer and unit.
std::vector<Value> sorted_values(const ValueTable& table, const std::vector<KeyTargets>& keys) {
  std::vector<Value> values;
  for (std::size_t i = 0; i < table.n_layers * table.d_memory; ++i) {
    Value value{.layer = i / table.d_memory,
                .unit = i % table.d_memory,
                .prediction = table.tokens[i * table.k],
                .max_p = static_cast<double>(table.probabilities[i * table.k])};
    const auto target = keys[value.layer].tokens[value.unit];
    if (target) value.agrees = *target == value.prediction;
    values.push_back(value);
  }
  std::ranges::stable_sort(values, std::greater<>(), &Value::max_p);
  return values;
}

/// Values of neighbouring max(p), from `low` to `high`.
struct Bin {
  double low = 0.0;
  double high = 0.0;
  std::size_t n_agreeing = 0;
  Estimate agreement;
};

Bin bin_of(std::span<const Value> values, double low, double high, Random random) {
  const auto n_agreeing = static_cast<std::size_t>(std::ranges::count(values, std::optional(true), &Value::agrees));
  return {.low = low, .high = high, .n_agreeing = n_agreeing, .agreement = estimate_share(n_agreeing, values.size(), random)};
}

/// `compared`: ascending. Each bin's lower border belongs to it, the last one's upper border too.
std::vector<Bin> bins_of_equal_width(std::span<const Value> compared, const Workbench& bench) {
  const std::vector<double> borders = equal_width_borders(compared.empty() ? 1.0 : compared.back().max_p, kBins);
  std::vector<Bin> bins;
  auto begin = compared.begin();
  for (std::size_t b = 0; b < kBins; ++b) {
    const auto end = b + 1 == kBins ? compared.end() : std::ranges::lower_bound(compared, borders[b + 1], {}, &Value::max_p);
    bins.push_back(
        bin_of({begin, end}, borders[b], borders[b + 1], bench.random(fmt::format("predictive-values/equal width/{}", b))));
    begin = end;
  }
  return bins;
}

/// The same values by rank; a bin's borders are its least and its largest value.
std::vector<Bin> bins_of_equal_count(std::span<const Value> compared, const Workbench& bench) {
  const std::vector<std::size_t> begins = equal_count_begins(compared.size(), kBins);
  std::vector<Bin> bins;
  for (std::size_t b = 0; b + 1 < begins.size(); ++b) {
    const auto values = compared.subspan(begins[b], begins[b + 1] - begins[b]);
    bins.push_back(bin_of(values, values.front().max_p, values.back().max_p,
                          bench.random(fmt::format("predictive-values/equal count/{}", b))));
  }
  return bins;
}

Table bin_table(const std::vector<Bin>& bins, std::string name, std::string caption) {
  Table table{.name = std::move(name),
              .caption = std::move(caption),
              .columns = {"max(p) from", "max(p) to", "values", "agreeing", "agreement", "agreement low", "agreement high"},
              .rows = {}};
  for (const Bin& bin : bins) {
    std::vector<Cell> row{bin.low, bin.high, count_cell(bin.agreement.n), count_cell(bin.n_agreeing)};
    add_interval(row, bin.agreement);
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// The top of the rate's axis: a round number that all of it lies below.
double rate_axis(const std::vector<Bin>& bins) {
  double highest = 0.0;
  for (const Bin& bin : bins) {
    if (bin.agreement.n > 0) highest = std::max(highest, bin.agreement.high);
  }
  for (const double top : {0.05, 0.1, 0.2, 0.5}) {
    if (highest <= top) return top;
  }
  return 1.0;
}

Figure bin_figure(const std::vector<Bin>& bins, std::string name, std::string x_label, Target target,
                  const std::function<double(std::size_t)>& place) {
  Figure figure{.name = std::move(name),
                .title = fmt::format("Values that predict {} their key's best trigger example", target_text(target)),
                .samples = {.of = "values"},
                .x_label = std::move(x_label),
                .y_label = "agreement rate",
                .kind = Figure::Kind::lines,
                .series = {"agreement rate"},
                .y_max = rate_axis(bins)};
  figure.data.columns = interval_columns(figure.x_label, figure.series);
  for (std::size_t b = 0; b < bins.size(); ++b) {
    if (bins[b].agreement.n == 0) continue;
    figure.data.rows.push_back({place(b)});
    add_interval(figure, bins[b].agreement);
  }
  return figure;
}

/// Against the middle of each bin, in units of a power of ten so that the axis has short numbers. Of the paper's curve its text
/// gives the last point: about 0.95 in the bin at about 4e-4.
Figure width_figure(const std::vector<Bin>& bins, std::size_t n_layers, std::size_t vocab_size, Target target) {
  const double exponent = std::floor(std::log10(bins.back().high));
  const double unit = std::pow(10.0, exponent);
  Figure figure =
      bin_figure(bins, "predictive-values", fmt::format("max(p) in units of 1e{:.0f}, bins of equal width", exponent), target,
                 [&](std::size_t b) { return 0.5 * (bins[b].low + bins[b].high) / unit; });
  if (!paper_layer(1, n_layers)) return figure;
  figure.paper = Table{.columns = {figure.x_label, figure.series[0]}, .rows = {{4e-4 / unit, 0.95}}};
  figure.paper_label = fmt::format("the paper's, of 267,744 words (here {})", vocab_size);
  figure.y_max = 1.0;
  return figure;
}

/// Against the values' order, from the least sure one.
Figure count_figure(const std::vector<Bin>& bins, Target target) {
  return bin_figure(bins, "predictive-values-by-rank", "values in order of max(p), per cent from the least sure", target,
                    [&](std::size_t b) { return 100.0 * (static_cast<double>(b) + 0.5) / static_cast<double>(bins.size()); });
}

/// A value beside its key's trigger examples.
struct Match {
  std::size_t n_examples = 0;  // that have a target
  std::size_t n_agreeing = 0;
  std::optional<TriggerStore::Example> first{};  // the best example that agrees
};

Match match_of(const TriggerStore& store, const Value& value, Target target) {
  Match match;
  for (const auto& example : store.examples(value.layer, value.unit)) {
    const auto token = target_of(example, target);
    if (!token) continue;
    ++match.n_examples;
    if (*token != value.prediction) continue;
    ++match.n_agreeing;
    if (!match.first) match.first = example;
  }
  return match;
}

struct Best {
  std::size_t n = 0;
  std::size_t n_upper = 0;
  std::size_t n_agreeing = 0;  // with at least one agreeing example
  Table table;
};

Best best_values(Workbench& bench, std::span<const Value> values) {
  const TriggerStore& store = bench.triggers();
  const Tokenizer& tokenizer = *bench.tokenizer();
  const bool next_token = bench.options().target == Target::next;
  Best best{.n = values.size(), .table = {}};
  best.table = {
      .name = "best-values",
      .caption = fmt::format("The {} values of highest max(p), best first (layers from 1, units from 0): prediction, "
                             "the key's trigger examples{} ({} at most), how many of them {} the prediction, the share "
                             "(precision), and the best of those",
                             best.n, next_token ? " that have a next token" : "", store.top(),
                             next_token ? "are followed by" : "end in"),
      .columns = {"layer", "unit", "prediction", "max(p)", "examples", "agreeing", "precision", "matching prefix",
                  "next token"},
      .rows = {}};
  for (const Value& value : values) {
    const Match match = match_of(store, value, bench.options().target);
    best.n_upper += is_upper_layer(value.layer, store.n_layers()) ? 1 : 0;
    best.n_agreeing += match.n_agreeing > 0 ? 1 : 0;
    const bool has_next = match.first && match.first->next;
    const std::string next = has_next ? visible_token(&tokenizer, *match.first->next) : "";
    best.table.rows.push_back({count_cell(value.layer + 1), count_cell(value.unit), visible_token(&tokenizer, value.prediction),
                               value.max_p, count_cell(match.n_examples), count_cell(match.n_agreeing),
                               static_cast<double>(match.n_agreeing) / static_cast<double>(match.n_examples),
                               match.first ? tokenizer.decode(match.first->prefix) : "", next});
  }
  return best;
}

/// How many of as many random values have an agreeing example: what the best are compared with.
std::size_t random_values_agreeing(Workbench& bench, const std::vector<Value>& values, std::size_t n) {
  Random random = bench.random("predictive-values/random values");
  std::size_t n_agreeing = 0;
  for (const std::size_t i : sample(values.size(), n, random)) {
    n_agreeing += match_of(bench.triggers(), values[i], bench.options().target).n_agreeing > 0 ? 1 : 0;
  }
  return n_agreeing;
}

std::string upper_layers_text(std::size_t n_layers) {
  std::size_t first = 0;
  while (!is_upper_layer(first, n_layers)) ++first;
  return fmt::format("{} to {}", first + 1, n_layers);
}

/// "0.9 % (0.5 to 1.4; 16 of 1710 values)"
std::string rate_text(const Bin& bin) {
  const Estimate& rate = bin.agreement;
  return fmt::format("{} ({:.1f} to {:.1f}; {} of {} values)", percent(rate.value), 100 * rate.low, 100 * rate.high,
                     bin.n_agreeing, rate.n);
}

std::string found_text(const std::vector<Bin>& bins, const Best& best, std::size_t n_random_agreeing, std::size_t n_layers,
                       Target target) {
  const auto has_values = [](const Bin& bin) { return bin.agreement.n > 0; };
  const auto lowest = std::ranges::find_if(bins, has_values);
  if (lowest == bins.end()) return "No key has a trigger example to compare its value with.";
  const auto highest = std::find_if(bins.rbegin(), bins.rend(), has_values);
  return fmt::format(
      "The agreement rate is {} in the bin of lowest max(p), up to {:.3g}, and {} in the highest that has any, {:.3g} to "
      "{:.3g}. Of the {} values of highest max(p) {} lie in layers {} of {}, and {} have a trigger example {}; of as many "
      "random values {} have.",
      rate_text(*lowest), lowest->high, rate_text(*highest), highest->low, highest->high, best.n, best.n_upper,
      upper_layers_text(n_layers), n_layers, best.n_agreeing,
      target == Target::next ? "that their prediction follows" : "that ends in their prediction", n_random_agreeing);
}

}  // namespace

bool is_upper_layer(std::size_t layer, std::size_t n_layers) noexcept { return 16 * (layer + 1) > 10 * n_layers; }

std::vector<double> equal_width_borders(double largest, std::size_t n_bins) {
  std::vector<double> borders;
  for (std::size_t b = 0; b <= n_bins; ++b) borders.push_back(largest * static_cast<double>(b) / static_cast<double>(n_bins));
  return borders;
}

std::vector<std::size_t> equal_count_begins(std::size_t n_values, std::size_t n_bins) {
  n_bins = std::min(n_bins, n_values);
  std::vector<std::size_t> begins{0};
  for (std::size_t b = 1; b <= n_bins; ++b) begins.push_back(b * n_values / n_bins);
  return begins;
}

Result predictive_values(Workbench& bench) {
  const Target target = bench.options().target;
  std::vector<KeyTargets> keys;
  for (std::size_t layer = 0; layer < bench.n_layers(); ++layer) {
    keys.push_back(key_targets(bench.triggers(), layer, target));
  }
  const std::vector<Value> values = sorted_values(bench.values(bench.example_sign()), keys);
  std::vector<Value> compared;  // ascending
  std::copy_if(values.rbegin(), values.rend(), std::back_inserter(compared),
               [](const Value& value) { return value.agrees.has_value(); });

  const auto by_width = bins_of_equal_width(compared, bench);
  const auto by_count = bins_of_equal_count(compared, bench);
  Best best = best_values(bench, std::span(values).first(std::min(kBest, values.size())));
  const std::size_t n_random_agreeing = random_values_agreeing(bench, values, best.n);

  Result result{.name = "predictive-values",
                .title = "Do sure values agree with their keys?",
                .paper_place = "section 4, Figure 6 and Table 2",
                .paper_found =
                    "The agreement rate rises with max(p), to about 0.95 in the highest bin (about 4e-4). Of the 100 values of "
                    "highest max(p) 97 lie in layers 11 to 16 of 16, and 46 have at least one of their key's 50 trigger "
                    "examples followed by the value's top prediction.",
                .run_found = concat(negation_text(bench.options()),
                                    found_text(by_width, best, n_random_agreeing, bench.n_layers(), target), " ",
                                    without_target_text(keys, bench.options())),
                .settings = value_settings(bench)};
  result.settings.emplace_back("bins", fmt::format("{} of equal width from 0 to the largest max(p)", kBins));
  result.settings.emplace_back("upper layers", upper_layers_text(bench.n_layers()));
  const auto n_agreeing = static_cast<std::size_t>(std::ranges::count(compared, std::optional(true), &Value::agrees));
  result.estimates = {
      {"values that agree", estimate_share(n_agreeing, compared.size(), bench.random("predictive-values/all"))},
      {"best values in upper layers", estimate_share(best.n_upper, best.n, bench.random("predictive-values/upper"))},
      {"best values with an agreeing example",
       estimate_share(best.n_agreeing, best.n, bench.random("predictive-values/agreeing"))},
      {"random values with an agreeing example",
       estimate_share(n_random_agreeing, best.n, bench.random("predictive-values/random agreeing"))}};
  const std::string caption = fmt::format(
      "Values whose top prediction is {} their key's best trigger example, by max(p), in bins of ", target_text(target));
  result.tables = {bin_table(by_width, "bins", caption + "equal width"),
                   bin_table(by_count, "bins-equal-count", caption + "equal count, each from its least to its largest max(p)"),
                   std::move(best.table)};
  result.figures = {width_figure(by_width, bench.n_layers(), bench.model()->config().vocab_size, target),
                    count_figure(by_count, target)};
  return result;
}

}  // namespace ffmem::tools
