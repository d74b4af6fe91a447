// How far a weight mode takes a model from float32 arithmetic, point by point.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "hooks/points.hpp"
#include "runtime/model.hpp"

namespace ffmem::tools {

struct PointError {
  Point point;
  double error;  // root mean square of the differences over all layers and rows, as a share of the expected numbers' own; not
                 // finite where those are all 0
};

/// The model's points on `tokens` beside those of the checkpoint in `folder` by the operators' plain definition (ops/scalar) in
/// float32, which reads the mapped weights in place and holds no copy of them, on one thread: 5 s for 16 tokens of GPT-2's 124
/// million parameters (Zen 3). Throws what Model::load and Session::run throw; limit_exceeded where all points of the tokens
/// take more than 4 GiB.
std::vector<PointError> weight_errors(const std::filesystem::path& folder, const std::shared_ptr<const Model>& model,
                                      std::span<const TokenId> tokens);

}  // namespace ffmem::tools
