// For each value of the model the values that point the same way: memories that push the stream alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// By cosine similarity over all layers, a value itself left out; equal ones by smaller number. A memory's number is
/// layer * d_m + unit.
struct NearestValues {
  std::size_t k = 0;
  std::vector<std::int32_t> memory;  // [L * d_m, k]
  std::vector<float> cosine;         // [L * d_m, k]
};

/// OUT/data/nearest-values.safetensors. Working memory: the values once as float32, and a block of cosines.
NearestValues nearest_values(const Workbench& bench, std::size_t k);

}  // namespace ffmem::tools
