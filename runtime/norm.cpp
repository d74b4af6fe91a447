#include "runtime/norm.hpp"

#include <algorithm>

namespace ffmem {

void apply_norm(const Backend& backend, const ModelConfig& config, const NormWeights& norm, ConstMatrixView x, MatrixView y) {
  if (!norm.present) {
    if (x.data == y.data) return;
    for (std::size_t t = 0; t < x.rows; ++t) std::ranges::copy(x.row(t), y.row_data(t));
    return;
  }
  const float* weight = norm.weight.empty() ? nullptr : norm.weight.data();
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data();
  if (config.norm == NormKind::layer_norm) {
    backend.layer_norm(x, weight, bias, config.norm_epsilon, y);
  } else {
    backend.rms_norm(x, weight, config.norm_epsilon, x.cols, y);
  }
}

}  // namespace ffmem
