// Estimates and box plots as the columns of a table or a figure.
#pragma once

#include <string>
#include <vector>

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

}  // namespace ffmem::tools
