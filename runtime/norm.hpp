// The norm a checkpoint describes, by its kind, for the places that have one.
#pragma once

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/backend.hpp"

namespace ffmem {

/// y = norm(x) over whole rows, or y = x where the family has no norm here. x, y [T, d]; y may be x.
void apply_norm(const Backend& backend, const ModelConfig& config, const NormWeights& norm, ConstMatrixView x, MatrixView y);

}  // namespace ffmem
