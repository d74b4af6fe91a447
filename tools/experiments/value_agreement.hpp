// Paper section 4, Figure 4: how often a value's top prediction is the token that follows its key's best trigger example.
#pragma once

#include <span>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, over the keys that have a target w_i: the share with argmax(p_i) = w_i, against a uniform random token, a token
/// drawn by frequency, and another key's value of the same layer.
Result value_agreement(Workbench& bench);

/// The share of keys whose target is predicted by another key's value: the mean over 100 random cyclic permutations, and the
/// middle 95 % of them. NaN for fewer than two keys.
Estimate permuted_agreement(std::span<const TokenId> predictions, std::span<const TokenId> targets, Random random);

}  // namespace ffmem::tools
