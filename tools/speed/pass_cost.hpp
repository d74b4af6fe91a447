// What a forward pass has to do at least: the arithmetic of its matrix products and attention, and the bytes it must read.
//
// Norms, activations, position tables and the embedding's rows are left out: a few thousandths of either.
#pragma once

#include <cstddef>

#include "ops/dtype.hpp"
#include "ops/weight_format.hpp"
#include "runtime/model.hpp"

namespace ffmem::tools {

/// n_sequences of n_rows tokens each, behind `past` cached positions, with scores over the vocabulary for n_scored rows in all.
struct PassShape {
  std::size_t n_sequences = 1;
  std::size_t n_rows = 1;
  std::size_t past = 0;
  std::size_t n_scored = 1;
  double active_share = 1.0;  // of the memories whose values are multiplied and read
};

struct PassCost {
  double layer_flop = 0.0;      // products by the layers' matrices, in layer_format(mode)
  double head_flop = 0.0;       // by the output head's, in head_format(mode)
  double attention_flop = 0.0;  // q.k and the sum of values, float32
  double bytes = 0.0;           // every weight once, and the cached keys and values of each sequence once

  double flop() const noexcept { return layer_flop + head_flop + attention_flop; }
  PassCost& operator+=(const PassCost& other) noexcept;
};

PassCost cost_of(const Model& model, const PassShape& pass);

/// Bytes that a weight takes, with its part of what its group shares; float32 by what the checkpoint stores.
double bytes_per_weight(WeightFormat format, DType stored) noexcept;

}  // namespace ffmem::tools
