// How a prepared matrix stores its weights, and with it what a product by them computes. The first is the reference; the others
// round weights and inputs, and sum in float32. Each keeps the rule of ops/backend.hpp: a row's bits depend on that row alone.
//
//   f32   weights and inputs as they are.
//   bf16  both rounded to bfloat16, to nearest even; one chain of float32 sums over all inputs. Instructions that
//         multiply bf16 have orders of their own (ops/cpu/kernels/lanes_avx512.hpp, tile_matmul.hpp).
//   int8  in groups of kInt8Group inputs: w ~ s q and x ~ t p with whole q, p in [-127, 127]; t s sum(q p), group by group.
//   int4  in groups of kInt4Group inputs: w ~ s q + m with q in 0 .. 15, s and m bfloat16, x as for int8;
//         t s sum(q p) + t m sum(p), group by group.
//
// ops/quantise.hpp defines the rounding, ops/scalar/scalar_quantised.cpp the sums.
#pragma once

#include <cstddef>

namespace ffmem {

enum class WeightFormat { f32, bf16, int8, int4 };

inline constexpr std::size_t kInt8Group = 64;
inline constexpr std::size_t kInt4Group = 32;

/// Inputs that share a scale: kInt8Group, kInt4Group; 0 for the formats without.
constexpr std::size_t group_size(WeightFormat format) noexcept {
  return format == WeightFormat::int8 ? kInt8Group : format == WeightFormat::int4 ? kInt4Group : 0;
}

}  // namespace ffmem
