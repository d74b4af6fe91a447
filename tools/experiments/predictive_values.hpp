// Paper section 4, Figure 6 and Table 2: values that are sure of a token agree more often with their keys.
#pragma once

#include <span>
#include <vector>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// The agreement rate as a function of max(p_i), and the 100 values of highest max(p_i) of the model: how many lie in the upper
/// layers, and how many predict what follows one of their key's trigger examples.
Result predictive_values(Workbench& bench);

/// True for the layers that correspond to the paper's 11 to 16 of 16: those beyond 10/16 of the depth. `layer` from 0.
bool is_upper_layer(std::size_t layer, std::size_t n_layers) noexcept;

/// The bins' borders, ascending: equal widths from 0 to the largest, or as many values in each as in the others. n_bins + 1.
std::vector<double> equal_width_borders(std::span<const double> ascending, std::size_t n_bins);
std::vector<double> equal_count_borders(std::span<const double> ascending, std::size_t n_bins);

}  // namespace ffmem::tools
