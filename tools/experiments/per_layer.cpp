#include "tools/experiments/per_layer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ffmem::tools {

std::vector<Estimate> layer_shares(const Workbench& bench, const LayerPass& pass, const std::string& purpose,
                                   const std::function<bool(std::size_t place)>& test) {
  std::vector<Estimate> shares;
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < pass.examples.size(); ++i) n += test(pass.at(i, layer)) ? 1 : 0;
    shares.push_back(estimate_share(n, pass.examples.size(), bench.random(fmt::format("{}/interval/{}", purpose, layer))));
  }
  return shares;
}

void add_estimates(Result& result, const std::string& what, const std::vector<Estimate>& by_layer) {
  for (std::size_t layer = 0; layer < by_layer.size(); ++layer) {
    result.estimates.emplace_back(fmt::format("layer {} {}", layer + 1, what), by_layer[layer]);
  }
}

Extremes extremes(const std::vector<double>& by_layer) {
  Extremes found;
  const auto better = [&](double candidate, double best, int sign) {
    return std::isnan(best) || sign * candidate > sign * best;
  };
  for (std::size_t i = 0; i < by_layer.size(); ++i) {
    if (std::isnan(by_layer[i])) continue;
    if (std::isnan(by_layer[found.first - 1])) found.first = i + 1;
    found.last = i + 1;
    if (better(by_layer[i], by_layer[found.highest - 1], 1)) found.highest = i + 1;
    if (better(by_layer[i], by_layer[found.lowest - 1], -1)) found.lowest = i + 1;
  }
  return found;
}

std::vector<double> values_of(const std::vector<Estimate>& estimates) {
  std::vector<double> values;
  values.reserve(estimates.size());
  for (const Estimate& estimate : estimates) values.push_back(estimate.value);
  return values;
}

std::optional<Table> paper_points(std::size_t n_layers, const std::string& series,
                                  const std::vector<std::pair<double, double>>& points) {
  Table table{.columns = {"layer", series}};
  for (const auto& [layer, value] : points) {
    const auto x = paper_layer(layer, n_layers);
    if (!x) return std::nullopt;
    table.rows.push_back({*x, value});
  }
  return table;
}

std::string percent(double share) { return std::isnan(share) ? "no" : fmt::format("{:.1f} %", 100 * share); }

std::string percent(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return percent(estimate.value);
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * estimate.value, 100 * estimate.low, 100 * estimate.high);
}

std::string text_of(const Workbench& bench, std::span<const TokenId> tokens) { return bench.tokenizer()->decode(tokens); }

}  // namespace ffmem::tools
