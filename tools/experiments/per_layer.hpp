// What experiments have in common: numbers layer by layer, of a layer pass (the paper's sections 5.1 and 5.2) or not, and the
// words to tell them.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/experiments/layer_pass.hpp"
#include "tools/experiments/result.hpp"

namespace ffmem::tools {

/// One number of each example at a layer; `value` is given the place in the pass's arrays.
template <class Value>
std::vector<double> at_layer(const LayerPass& pass, std::size_t layer, Value&& value) {
  std::vector<double> values;
  for (std::size_t i = 0; i < pass.examples.size(); ++i) values.push_back(static_cast<double>(value(pass.at(i, layer))));
  return values;
}

/// Per layer the share of examples for which test(place) holds, bootstrapped over examples.
std::vector<Estimate> layer_shares(const Workbench& bench, const LayerPass& pass, const std::string& purpose,
                                   const std::function<bool(std::size_t place)>& test);

/// Adds "layer 1 WHAT" and so on to the result's estimates.
void add_estimates(Result& result, const std::string& what, const std::vector<Estimate>& by_layer);

/// Places, from 1, of the largest and the smallest value, the first and the last; NaN counts as none. Of NaN alone all are 1.
struct Extremes {
  std::size_t highest = 1;
  std::size_t lowest = 1;
  std::size_t first = 1;
  std::size_t last = 1;
};
Extremes extremes(const std::vector<double>& by_layer);
std::vector<double> values_of(const std::vector<Estimate>& estimates);

/// The paper's points (layer, value) for a figure with one series, or nothing if the model's depth is not comparable.
std::optional<Table> paper_points(std::size_t n_layers, const std::string& series,
                                  const std::vector<std::pair<double, double>>& points);

/// "12.3 %"
std::string percent(double share);
std::string percent(const Estimate& estimate);  // "12.3 % (11.0 to 13.6)"

/// The tokens as one text.
std::string text_of(const Workbench& bench, std::span<const TokenId> tokens);

}  // namespace ffmem::tools
