#include "tools/experiments/linear_head.hpp"

#include <algorithm>
#include <numeric>

#include "runtime/output_head.hpp"

namespace ffmem::tools {

void FinalNorm::centre(std::span<const float> x, std::span<double> out) const {
  const bool centred = norm_.present && config_.norm == NormKind::layer_norm;
  const double mean = centred ? std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size()) : 0.0;
  std::ranges::transform(x, out.begin(), [mean](float value) { return static_cast<double>(value) - mean; });
}

void FinalNorm::weigh(std::span<const double> z, std::span<float> out) const {
  for (std::size_t i = 0; i < z.size(); ++i) {
    out[i] = static_cast<float>(norm_.weight.empty() ? z[i] : z[i] * static_cast<double>(norm_.weight[i]));
  }
}

LinearHidden::LinearHidden(const Model& model) : model_(model), zero_(model.head().hidden_width()) {
  const AlignedBuffer zeros(model.config().d_model);
  model.head().to_hidden(zeros.matrix(1, zeros.size()), Lens::raw, zero_.matrix(1, zero_.size()));
}

void LinearHidden::apply(ConstMatrixView rows, bool constant, MatrixView hidden) const {
  model_.head().to_hidden(rows, Lens::raw, hidden);
  if (constant) return;
  for (std::size_t r = 0; r < hidden.rows; ++r) {
    for (std::size_t i = 0; i < hidden.cols; ++i) hidden.row(r)[i] -= zero_.data()[i];
  }
}

}  // namespace ffmem::tools
