// How every value (of a search for the smallest coefficients, negated) scores its key's target: the stored intermediate result
// "value-scores".
//
// A safetensors file: `target` i32, `rank` i32 and `log_probability` f32, each [L, d_m]; where a key has no target -1, -1, NaN.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

struct ValueScores {
  std::size_t n_layers = 0;
  std::size_t d_memory = 0;
  std::vector<TokenId> target;         // w_i (key_targets.hpp), or -1
  std::vector<std::int32_t> rank;      // of w_i in p_i, from 0 (OutputHead::ranks_of), or -1
  std::vector<float> log_probability;  // log p_i(w_i), or NaN
};

/// By options().value_lens and target: OUT/data/value-scores.safetensors, computed where it is not there.
ValueScores value_scores(Workbench& bench);

}  // namespace ffmem::tools
