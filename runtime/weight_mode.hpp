// How a model's matrices are held in memory: the reference, or smaller and less exact.
#pragma once

#include <string_view>

#include "ops/weight_format.hpp"

namespace ffmem {

/// f32 is the reference. Norms, biases, embedding tables, attention scores and sums are float32 in every mode. The output head
/// (and with it the words a vector promotes) keeps at least 8 bits: int4 holds it as int8.
enum class WeightMode { f32, bf16, int8, int4 };

/// Of the matrices of layers, and of projections behind an embedding table.
WeightFormat layer_format(WeightMode mode) noexcept;

/// Of the output head's matrices.
WeightFormat head_format(WeightMode mode) noexcept;

/// "f32", "bf16", "int8", "int4".
std::string_view name(WeightMode mode) noexcept;

}  // namespace ffmem
