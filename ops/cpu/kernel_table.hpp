// The kernels of one instruction set as plain function pointers. Only raw pointers, sizes and such structs cross this border:
// see ops/cpu/kernels/simd.hpp for why. All arrays are float32, a row contiguous; no kernel allocates or throws.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/activation.hpp"
#include "ops/cpu/matmul_kernels.hpp"
#include "ops/softmax_change.hpp"

namespace ffmem {

/// Some queries that read one key/value head of one sequence: any rows, any of the query heads that share it.
struct AttentionBlock {
  static constexpr std::size_t kMaxQueries = 36;  // whole groups of both of attention_chunk.hpp
  static constexpr std::size_t kKeyLanes = 16;    // keys of a block of the cache: kKeyBlock of backend.hpp

  const float* keys;    // [capacity / kKeyLanes][head_dim][kKeyLanes]
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
  bool by_onednn = false;  // products by float32 weights, in place

  MatmulKernels matmul;

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
  // See Backend::keep_larger.
  void (*keep_larger)(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels);
  // See Backend::find_above.
  std::size_t (*find_above)(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices);
  // See Backend::softmax_change.
  void (*softmax_change)(const SoftmaxTerms& terms, SoftmaxChange* change);
};

}  // namespace ffmem
