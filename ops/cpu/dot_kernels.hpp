// Kernels for weights in the formats bf16, int8 and int4 (ops/weight_format.hpp), as plain function pointers: see
// ops/cpu/kernel_table.hpp for the rules of this border.
//
// Weights are packed once, in the order in which both few rows and many read them. Outputs lie in panels of kPanelOutputs, each
// panel in vectors of kLanes outputs (the last panel has only the vectors it needs), inputs in steps:
//
//   bf16  step of 2 inputs: [vectors][16 outputs][2] of 16 bits
//   int8  group of 64 inputs: scales [vectors][16] float32, then steps of 4 inputs: [vectors][16][4] of q + 128, 8 bits
//   int4  group of 32 inputs: [vectors][16] scale (upper half) and minimum (lower half) bf16, then steps of 8 inputs:
//         [vectors][16][4] bytes, the lower four bits inputs 0 - 3, the upper ones 4 - 7
//
// A last step is filled up with weights that the inputs' zeros meet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ffmem {

inline constexpr std::size_t kLanes = 16;
inline constexpr std::size_t kPanelVectors = 4;
inline constexpr std::size_t kPanelOutputs = kLanes * kPanelVectors;

/// Inputs of one step.
inline constexpr std::size_t kBf16Step = 2;
inline constexpr std::size_t kInt8Step = 4;
inline constexpr std::size_t kInt4Step = 8;

/// y[t, o] = x[t] . w[o] + bias[o] for n_rows >= 1 rows and n_out outputs that begin with a panel.
struct DotBlock {
  const std::uint32_t* x;      // packed rows, [n_rows][x_stride]: pairs of bf16, or fours of int8; zeros behind the last input
  std::size_t x_stride;        // in elements of 4 bytes
  const float* x_scales;       // int8, int4: [n_rows][n_groups]
  const std::int32_t* x_sums;  // the same: sum of the group's whole numbers
  std::size_t n_groups;
  const std::byte* w;  // packed panels
  const float* bias;   // [n_out] or null
  float* y;
  std::size_t y_stride;
  std::size_t n_rows;
  std::size_t n_in;
  std::size_t n_out;
};

struct DotKernels {
  void (*bf16)(const DotBlock& block);
  void (*int8)(const DotBlock& block);
  void (*int4)(const DotBlock& block);

  // One row as the kernels read it. out: room for n rounded up to a whole step of 8 inputs.
  void (*round_bf16)(const float* x, std::size_t n, std::uint16_t* out);
  void (*quantise)(const float* x, std::size_t n, std::size_t group, std::int8_t* out, float* scales, std::int32_t* sums);
};

}  // namespace ffmem
