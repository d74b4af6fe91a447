// Products by weights in the formats other than f32, as ops/weight_format.hpp defines them.
#pragma once

#include <memory>

#include "ops/backend.hpp"

namespace ffmem {

/// A copy of `w` in `format`, which is not f32.
std::unique_ptr<const PreparedMatrix> make_scalar_quantised(const WeightMatrix& w, WeightFormat format);

/// Backend::matmul. `w` comes from make_scalar_quantised.
void scalar_quantised_matmul(ConstMatrixView x, const PreparedMatrix& w, const float* bias, MatrixView y);

}  // namespace ffmem
