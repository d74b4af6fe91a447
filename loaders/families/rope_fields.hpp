// Rotary positions in config.json, in both spellings: `rope_parameters` (transformers 5), or fields at top level with
// `rope_scaling` (4.x; where a file has both dictionaries, transformers takes that one unless it is empty).
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "loaders/json_file.hpp"
#include "loaders/model_config.hpp"

namespace ffmem {

/// 1 / theta^(2k/r) for k = 0 .. r/2 - 1, computed in float32 as there: at position p a last digit more is p times as much of
/// an angle.
std::vector<float> rotary_frequencies(float theta, std::size_t r);

struct RotaryFields {
  std::string_view theta_key = "rope_theta";                // at top level
  std::string_view fraction_key = "partial_rotary_factor";  // at top level
  double fraction = 1.0;                                    // of each head's dimensions that turn, where no field says it
  bool partial = false;                                     // the family may turn less than whole heads
};

/// Makes `config` one of rotary positions ("halves" layout). Knows the types default, linear and llama3, and throws
/// config_unsupported for others. Call it once head_dim and max_positions are read.
void read_rotary(const JsonFields& fields, ModelConfig& config, const RotaryFields& names = {});

}  // namespace ffmem
