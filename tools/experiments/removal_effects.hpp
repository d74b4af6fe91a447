// What each memory of one layer does to the model's output, by taking it out: its coefficient at the prefix's last position
// becomes 0, everything else stays. Not in the paper.
//
// p is the model's own distribution of the next token, p' the one without the memory, t = argmax p the model's prediction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/aligned_buffer.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// One memory with m != 0 in one example.
struct Removal {
  std::uint32_t example = 0;
  std::uint32_t unit = 0;
  float coefficient = 0.0F;
  float log_p_change = 0.0F;  // log p'(t) - log p(t)
  float divergence = 0.0F;    // KL(p || p') = sum p log(p / p'), in nats
  TokenId top_after = 0;      // argmax p'
};

/// What removals start from: vectors of each example at its last position, and what the model predicts there. R rows, one an
/// example.
struct RemovalInputs {
  std::size_t layer = 0;            // whose memories are removed
  AlignedBuffer coefficients;       // [R, d_m] of that layer
  AlignedBuffer ffn;                // [R, d]: y of that layer
  AlignedBuffer residual;           // [R, d]: r of that layer
  AlignedBuffer output;             // [R, d]: o of the last layer
  std::vector<TokenId> prediction;  // [R]: t
};

/// The best token of each row of `vectors` [R, d] under the lens: [R]. Throws argument_invalid where probabilities are NaN.
std::vector<TokenId> best_tokens(const Model& model, ConstMatrixView vectors, Lens lens);

/// Runs the examples.
RemovalInputs removal_inputs(const Workbench& bench, const ExampleSet& examples, std::size_t layer);

/// Every (example, memory) with m != 0, by example, then by unit; effects not filled in.
std::vector<Removal> removals_of(const RemovalInputs& inputs, std::size_t n_examples, std::size_t d_memory);

/// How the effects are computed.
enum class RemovalMethod {
  algebra,         // last layer whose output goes unchanged, or through one norm, into the vocabulary (removal_algebra.hpp)
  output_vectors,  // last layer otherwise: each output vector without the memory is scored
  whole_passes,    // any other layer: the model runs once for each case
};
RemovalMethod removal_method(const Model& model, std::size_t layer) noexcept;

/// Fills in the effects.
void compute_removals(const Workbench& bench, const ExampleSet& examples, const RemovalInputs& inputs, RemovalMethod method,
                      std::vector<Removal>& removals);

}  // namespace ffmem::tools
