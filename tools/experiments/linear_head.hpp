// What is linear between the residual stream and the vocabulary (removal_algebra.hpp says what for).
#pragma once

#include <span>

#include "ops/aligned_buffer.hpp"
#include "runtime/model.hpp"

namespace ffmem::tools {

/// The final norm in parts: centring (a LayerNorm's), the division by s, the weight g and the bias b. Views the model.
class FinalNorm {
 public:
  explicit FinalNorm(const Model& model) : norm_(model.weights().final_norm), config_(model.config()) {}

  bool present() const noexcept { return norm_.present; }
  double epsilon() const noexcept { return static_cast<double>(config_.norm_epsilon); }
  std::span<const float> bias() const noexcept { return norm_.bias; }

  /// out = x, less its mean where the norm is a LayerNorm. x, out [d].
  void centre(std::span<const float> x, std::span<double> out) const;

  /// out = g z. z, out [d].
  void weigh(std::span<const double> z, std::span<float> out) const;

 private:
  const NormWeights& norm_;
  const ModelConfig& config_;
};

/// The affine map from behind the norm to what the output matrix reads (OPT's projection; elsewhere nothing).
class LinearHidden {
 public:
  explicit LinearHidden(const Model& model);

  /// hidden = rows through the map, with its constant or without. rows [n, d], hidden [n, hidden width].
  void apply(ConstMatrixView rows, bool constant, MatrixView hidden) const;

 private:
  const Model& model_;
  AlignedBuffer zero_;  // [hidden width]: the constant
};

}  // namespace ffmem::tools
