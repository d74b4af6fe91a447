// The kernels of one instruction set as plain function pointers. Only raw pointers, sizes and such structs cross this border:
// see ops/cpu/kernels/simd.hpp for why. All arrays are float32, a row contiguous; no kernel allocates or throws.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/activation.hpp"
#include "ops/cpu/dot_kernels.hpp"

namespace ffmem {

/// Outputs whose weights are packed together where they are contiguous: lines of 256 bytes from memory.
inline constexpr std::size_t kPackedOutputs = 64;

/// y[t, o] = sum_i x[t, i] w[o, i] + bias[o] for n_rows >= 1 rows and n_out outputs.
struct MatmulBlock {
  const float* x;
  std::size_t x_stride;
  const float* w;  // element (o, i) at o * out_stride + i * in_stride; one of the two is 1
  std::size_t out_stride;
  std::size_t in_stride;
  const float* bias;  // [n_out] or null
  float* y;
  std::size_t y_stride;
  std::size_t n_rows;
  std::size_t n_in;
  std::size_t n_out;
};

/// One row, y[o] = sum_i x[i] w[o, i] + bias[o] over the active inputs i.
struct SparseBlock {
  const float* x;               // [n_in]
  const std::uint32_t* active;  // [n_active], ascending
  std::size_t n_active;
  const float* w;  // element (o, i) at o + i * in_stride
  std::size_t in_stride;
  const float* bias;  // [n_out] or null
  float* y;           // [n_out]
  std::size_t n_in;
  std::size_t n_out;
};

/// Some queries that read one key/value head of one sequence: any rows, any of the query heads that share it.
struct AttentionBlock {
  static constexpr std::size_t kMaxQueries = 32;

  const float* keys;    // [capacity / kKeyBlock][head_dim][kKeyBlock]
  const float* values;  // [capacity][head_dim]
  std::size_t head_dim;
  std::size_t n_queries;               // 1 .. kMaxQueries
  const float* queries[kMaxQueries];   // [head_dim] each
  float* outs[kMaxQueries];            // [head_dim] each
  std::size_t positions[kMaxQueries];  // the last key each sees
  float slopes[kMaxQueries];           // ALiBi; 0: none
  float scale;
  float softcap;       // 0: none
  std::size_t window;  // 0: none
};

struct KernelTable {
  const char* isa;

  std::size_t matmul_panel;     // outputs computed together: blocks should begin at multiples of it
  std::size_t matmul_few_rows;  // up to so many rows the weights are streamed once, beyond it they are repacked
  void (*matmul)(const MatmulBlock& block);

  void (*sparse_matmul)(const SparseBlock& block);
  DotKernels dot;  // products by weights of other formats than float32

  void (*attention)(const AttentionBlock& block);
  // Writes n keys ([head_dim] each, `stride` apart) to lanes lane .. lane + n - 1 of a key block.
  void (*write_keys)(const float* k, std::size_t stride, std::size_t head_dim, std::size_t n, float* block, std::size_t lane);

  // y of one row; weight and bias may be null.
  void (*layer_norm)(const float* x, std::size_t n, const float* weight, const float* bias, float epsilon, float* y);
  void (*rms_norm)(const float* x, std::size_t n, const float* weight, float epsilon, float* y);

  void (*activate)(Activation activation, float* x, std::size_t n);
  void (*add)(float* x, const float* y, std::size_t n);
  void (*multiply)(float* x, const float* y, std::size_t n);
  void (*scale)(float* x, std::size_t n, float factor);
  void (*softcap)(float* x, std::size_t n, float cap);

  // Turns one head's pairs (x[k], x[k + half]) or (x[2k], x[2k + 1]); cos, sin [half].
  void (*rotate_halves)(float* x, const float* cos, const float* sin, std::size_t half);
  void (*rotate_pairs)(float* x, const float* cos, const float* sin, std::size_t half);

  // The largest element, and the sum of exp(x - *largest).
  void (*exp_sum)(const float* x, std::size_t n, float* largest, double* sum);
  // The first index in [begin, n) with x > threshold, or n.
  std::size_t (*next_above)(const float* x, std::size_t begin, std::size_t n, float threshold);
  // See Backend::find_above.
  std::size_t (*find_above)(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices);
};

}  // namespace ffmem
