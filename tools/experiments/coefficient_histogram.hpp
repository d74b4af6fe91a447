// How large each memory's coefficients are over ordinary text: what its best trigger examples are to be seen against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Tokens of the validation text that are counted: whole sentences, until there are so many.
inline constexpr std::size_t kHistogramTokens = 100000;

struct CoefficientHistogram {
  std::size_t n_tokens = 0;           // positions counted
  std::vector<std::uint32_t> counts;  // [L, d_m, Histogram::kBins]
};

/// OUT/data/coefficient-histogram.safetensors: over the first sentences of the validation text.
CoefficientHistogram coefficient_histogram(const Workbench& bench);

}  // namespace ffmem::tools
