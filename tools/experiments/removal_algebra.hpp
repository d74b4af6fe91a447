// Removing a memory of the last layer, exactly, at a few operations a word instead of a product of d numbers.
//
// The last layer's output is o = r + y; without memory i it is o - m v. Let z be o, centred if the final norm is a LayerNorm,
// and u be v likewise, g and b the norm's weight and bias, s² = mean(z²) + epsilon. The logits of a vocabulary E are
//     (g z / s + b) . E = O / s + C,        O = (g z) . E,   C = b . E,
//     and without the memory (O - m U) / s' + C,   U = (g u) . E,
// with s'² = s² - 2 m mean(z u) + m² mean(u²). Without a final norm s = s' = 1. So O is one row an example, U one a memory, and
// the change of a word's logit is delta = (1/s' - 1/s) O - (m/s') U. Of one softmax with probabilities p
//     log-sum-exp' - log-sum-exp = log(1 + S + Q),  S = sum p delta,  Q = sum p (e^delta - 1 - delta),
//     KL(p || p') = log(1 + S + Q) - S,
// which loses no digits where delta is small. An adaptive softmax is one for the head and one for each band:
// KL = KL(head) + sum_b p(band b) KL(band b).
#pragma once

#include <span>
#include <vector>

#include "tools/experiments/removal_effects.hpp"

namespace ffmem::tools {

/// Fills in the effects; returns the indices of those that must be computed in another way, because a probability near 1 all
/// but vanishes or a logit grows by more than float32 holds.
std::vector<std::size_t> removals_by_algebra(const Workbench& bench, const RemovalInputs& inputs, std::span<Removal> removals);

}  // namespace ffmem::tools
