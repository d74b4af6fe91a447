// Paper section 4, Figure 6 and Table 2: values that are sure of a token agree more often with their keys.
#pragma once

#include <cstddef>
#include <vector>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// The agreement rate as a function of max(p_i), and the 100 values of highest max(p_i) of the model: how many lie in the upper
/// layers, and how many predict what follows one of their key's trigger examples.
Result predictive_values(Workbench& bench);

/// True for the layers that correspond to the paper's 11 to 16 of 16: those beyond 10/16 of the depth. `layer` from 0.
bool is_upper_layer(std::size_t layer, std::size_t n_layers) noexcept;

/// The borders of n_bins bins of equal width from 0 to the largest, ascending. n_bins + 1.
std::vector<double> equal_width_borders(double largest, std::size_t n_bins);

/// Where bins of as many values as the others, but for one, begin among n_values in their order, and the end of the last one.
/// n_bins of them, or n_values where there are fewer.
std::vector<std::size_t> equal_count_begins(std::size_t n_values, std::size_t n_bins);

}  // namespace ffmem::tools
