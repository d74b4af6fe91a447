// Estimates and box plots as the columns of a table or a figure.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "tools/experiments/figure.hpp"
#include "tools/experiments/statistics.hpp"
#include "tools/experiments/table.hpp"

namespace ffmem::tools {

/// `x`, then "NAME", "NAME low", "NAME high" for each series.
inline std::vector<std::string> interval_columns(const std::string& x, const std::vector<std::string>& series) {
  std::vector<std::string> columns{x};
  for (const std::string& name : series) {
    for (const char* part : {"", " low", " high"}) columns.push_back(name + part);
  }
  return columns;
}

/// The three cells of an estimate, times `factor` (100 for per cent).
inline void add_interval(std::vector<Cell>& row, const Estimate& estimate, double factor = 1.0) {
  for (const double number : {estimate.value, estimate.low, estimate.high}) row.emplace_back(factor * number);
}

/// The five cells of a box plot: low, quartile1, median, quartile3, high.
inline void add_box(std::vector<Cell>& row, const Box& box) {
  for (const double number : {box.low, box.quartile1, box.median, box.quartile3, box.high}) row.emplace_back(number);
}

/// The same as the next cells of the figure's last row, counted among its samples.
inline void add_interval(Figure& figure, const Estimate& estimate, double factor = 1.0) {
  add_interval(figure.data.rows.back(), estimate, factor);
  if (!std::isnan(estimate.value)) figure.samples.add(estimate.n);
}
inline void add_box(Figure& figure, const Box& box) {
  add_box(figure.data.rows.back(), box);
  figure.samples.add(box.n);
}

}  // namespace ffmem::tools
