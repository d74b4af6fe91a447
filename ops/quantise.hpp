// From float32 to the numbers of ops/weight_format.hpp. Plain loops, for weights, which are converted once, when a model is
// loaded; the CPU backend's kernels convert activations and give the same numbers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace ffmem {

/// To nearest, ties to even; NaN stays NaN.
std::uint16_t bf16_from_f32(float x) noexcept;

/// out[i] = bf16_from_f32(x[i]) for i < n.
void round_to_bf16(const float* x, std::size_t n, std::uint16_t* out) noexcept;

inline float f32_from_bf16(std::uint16_t x) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); }

/// q[i] = x[i] * (127 / max |x|) rounded to nearest even; scale = max |x| / 127. A group smaller than kSmallestGroup counts as
/// zeros (scale 0); one that holds an infinity or NaN has scale NaN, and q without meaning. Returns scale.
float quantise_int8(const float* x, std::size_t n, std::int8_t* q) noexcept;

// So that 127 / max is finite, and the scale a normal number.
inline constexpr float kSmallestGroup = 0x1p-100F;

struct Int4Scale {
  std::uint16_t scale = 0;    // bf16
  std::uint16_t minimum = 0;  // bf16
};

/// x[i] ~ scale q[i] + minimum with q[i] in 0 .. 15. Both NaN where the group holds an infinity or NaN, or its range or minimum
/// is beyond the largest number of its type.
Int4Scale quantise_int4(const float* x, std::size_t n, std::uint8_t* q) noexcept;

}  // namespace ffmem
