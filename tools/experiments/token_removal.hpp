// Paper section 3.2, Figure 3: what removing one token of a trigger example does to its key's coefficient.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

inline constexpr std::size_t kRemovals = 3;
inline constexpr std::array<std::string_view, kRemovals> kRemovalNames{"first", "last", "random"};

/// Some keys of every layer, and the coefficients of their trigger examples with a token removed: the stored intermediate
/// result "token-removal", a safetensors file with tensors of these names and shapes.
struct RemovedCoefficients {
  std::size_t n_layers = 0;
  std::size_t n_keys = 0;                  // K, of each layer
  std::size_t top = 0;                     // t
  std::vector<std::int32_t> unit;          // [L, K]
  std::vector<float> coefficient;          // [L, K, t]: of the whole prefix; NaN where a key has fewer examples
  std::vector<float> removed_coefficient;  // [L, K, t, 3]: without the first, the last, a random token; NaN where there is none
  std::vector<std::int32_t> random_position;  // [L, K, t]: of the random token in the prefix, or -1
  std::vector<std::int32_t> n_prefix_tokens;  // [L, K, t]: of the whole prefix, or 0
};

/// Computed where OUT/data/token-removal.safetensors is not there. Prefixes of one token, which would leave nothing, are
/// skipped.
RemovedCoefficients removed_coefficients(Workbench& bench);

/// Per layer and removal: the mean relative change of the coefficient in per cent, with its interval over keys.
Result token_removal(Workbench& bench);

}  // namespace ffmem::tools
