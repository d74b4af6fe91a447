// Causal attention over the cache as plain loops; see Backend::append_kv and Backend::attention.
#pragma once

#include <span>

#include "ops/backend.hpp"

namespace ffmem {

void scalar_append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                      std::span<const SequenceRows> sequences);

void scalar_attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences, MatrixView out);

}  // namespace ffmem
