// How one softmax changes when its logits do, summed over blocks of words (removal_algebra.hpp says what for).
#pragma once

#include <cstddef>

namespace ffmem::tools {

/// Logits may change by less than this, in either direction; beyond it the sums mean nothing.
inline constexpr float kLargestLogitChange = 60.0F;

struct SoftmaxChange {
  double linear = 0.0;     // S = sum p delta
  double remainder = 0.0;  // Q = sum p (e^delta - 1 - delta)
  float best = 0.0F;       // the largest new logit; begin with -infinity
  float largest = 0.0F;    // the largest |delta|
};

/// Adds n words to `change`: delta = a o + b u. p, logits (old), o, u [n]. The same bits whatever the vector width.
void add_block(const float* p, const float* logits, const float* o, const float* u, float a, float b, std::size_t n,
               SoftmaxChange& change);

}  // namespace ffmem::tools
