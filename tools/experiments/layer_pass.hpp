// One pass over the sampled prefixes that measures everything sections 5.1 and 5.2 of the paper ask of an (example, layer): how
// many memories are active, which agree with the layer's output, and what the residual stream predicts before and behind the
// layer.
//
// Per layer, at the prefix's last position: m the coefficients (point coefficients), y = sum m_i v_i + bias (point ffn_out:
// before any norm of the layer's output), r the stream that y is added to (residual_mid; in a parallel block it holds the
// attention's output too), o the stream behind the layer (residual_post; behind its norm in a post-norm block). top(h) is the
// best word of h under a lens. The results do not depend on threads or batches.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/experiments/example_set.hpp"
#include "tools/experiments/value_predictions.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Every array is [examples, layers].
struct LayerPass {
  ExampleSet examples{};
  std::size_t n_layers = 0;
  std::vector<std::int32_t> active{};        // memories with |m| > options().active_above
  std::vector<std::int32_t> mass{};          // memories that together carry 90 % of sum |m_i| |v_i|, largest first
  std::vector<std::int32_t> agree_active{};  // memories with m != 0 and top(m v) = top(y), by the value lens
  std::vector<std::int32_t> agree_all{};     // memories with top(v) = top(y), by the value lens
  std::vector<TokenId> ffn_value_lens{};     // top(y) by the value lens
  std::vector<TokenId> residual{};           // top(r), by the stream lens as what follows
  std::vector<TokenId> ffn{};                // top(y)
  std::vector<TokenId> output{};             // top(o)
  std::vector<float> log_p_final{};          // log-probability under r of the final prediction, top(o) of the last layer

  std::size_t at(std::size_t example, std::size_t layer) const noexcept { return example * n_layers + layer; }
  TokenId final_prediction(std::size_t example) const { return output[at(example, n_layers - 1)]; }
};

/// OUT/data/layer-pass.safetensors, computed where it is not there. Throws what sampling and running throw.
LayerPass layer_pass(Workbench& bench);

/// The same for given examples, computed in any case and not stored. `values` are bench's.
LayerPass measure_layers(Workbench& bench, const ValuePredictions& values, ExampleSet examples);

/// The smallest number of `weights` (not negative; reordered) whose sum is at least `share` of all.
std::size_t n_carrying(std::vector<float>& weights, double share);

}  // namespace ffmem::tools
