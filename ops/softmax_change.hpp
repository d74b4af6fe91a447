// How one softmax changes when its logits do: sums over its words, which may come block by block. Logits change by delta =
// a o + b u, o and u the scores of two vectors, as they do when a memory is taken out of the last layer.
#pragma once

#include <cmath>
#include <cstddef>

namespace ffmem {

/// Logits may change by less than this, in either direction; beyond it the sums mean nothing.
inline constexpr float kLargestLogitChange = 60.0F;

/// A block of words.
struct SoftmaxTerms {
  const float* p;       // [n]: probabilities before the change
  const float* logits;  // [n]: before the change
  const float* o;       // [n]
  const float* u;       // [n]
  float a, b;           // delta = a o + b u
  std::size_t n;
  std::size_t first = 0;  // the first word's number
};

struct SoftmaxChange {
  double linear = 0.0;        // S = sum p delta
  double remainder = 0.0;     // Q = sum p (e^delta - 1 - delta), which keeps its digits however small delta is
  float best = -INFINITY;     // the largest new logit
  std::size_t best_word = 0;  // where it is; of equal ones the first
  float largest = 0.0F;       // the largest |delta|
};

}  // namespace ffmem
