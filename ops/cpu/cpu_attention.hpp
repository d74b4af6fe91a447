// Attention over a ragged batch and its caches, by all threads; see Backend::attention and Backend::append_kv.
#pragma once

#include <span>

#include "ops/backend.hpp"
#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

void cpu_append_kv(const KernelTable& kernels, const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                   std::span<const SequenceRows> sequences);

void cpu_attention(const KernelTable& kernels, const AttentionShape& shape, ConstMatrixView q,
                   std::span<const SequenceRows> sequences, MatrixView out);

}  // namespace ffmem
