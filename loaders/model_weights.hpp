// The canonical weights of every family, as views of the checkpoint's mapping (matrices) and float32 copies (vectors).
//
// Optional things are empty where a family does not have them; the forward pass asks for their presence, never for the family.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "loaders/checkpoint.hpp"
#include "ops/weight_matrix.hpp"

namespace ffmem {

/// y = x Wᵀ + b. matrix [out, in]; bias [out] or empty.
struct LinearWeights {
  WeightMatrix matrix;
  std::vector<float> bias;
  std::shared_ptr<const void> copy = nullptr;  // owns what `matrix` views where no view of the file could express it
  bool empty() const noexcept { return matrix.empty(); }
};

/// weight [d] or empty (all 1: a norm without parameters has present == true), bias [d] or empty; no bias in RMS norms and
/// norms of heads. Both empty where present is false.
struct NormWeights {
  bool present = false;
  std::vector<float> weight;
  std::vector<float> bias;
};

struct LayerWeights {
  // Norms, by what they read. A pre-norm block has the *_in norms, a post-norm block (OPT-350m) the *_residual ones, which
  // normalise the stream after an addition; Gemma-2 and OLMo-2 normalise a sublayer's output before it is added.
  NormWeights attention_in;
  NormWeights attention_out;       // of the attention output, before the addition
  NormWeights attention_residual;  // of the stream, after the addition
  NormWeights ffn_in;
  NormWeights ffn_out;
  NormWeights ffn_residual;

  LinearWeights query;     // [n_heads * head_dim, d]
  LinearWeights key;       // [n_kv_heads * head_dim, d]
  LinearWeights value;     // [n_kv_heads * head_dim, d]
  LinearWeights output;    // [d, n_heads * head_dim]
  NormWeights query_norm;  // [head_dim], or [n_heads * head_dim] over all heads together
  NormWeights key_norm;

  // The memories: memory i is row i of each.
  LinearWeights keys;              // [d_m, d]; the gate's rows in a gated layer
  LinearWeights ups;               // [d_m, d]; gated layers only
  WeightMatrix values;             // [d_m, d]
  std::vector<float> values_bias;  // [d] or empty: belongs to no memory

  /// From the second matrix of the feed-forward layer, y = W m + b: memory i's value is column i of W [d, d_m].
  void set_values(LinearWeights second) {
    values = second.matrix.transposed();
    values_bias = std::move(second.bias);
  }
};

/// One band of an adaptive embedding/softmax: the words behind those of the bands before it.
struct AdaptiveBand {
  WeightMatrix table;           // [words, d_band]
  WeightMatrix out_table;       // [words, d_band] of the softmax; empty: `table`
  WeightMatrix in_projection;   // [d, d_band]: embedding = table row through this
  WeightMatrix out_projection;  // [d_band, d]: hidden -> band; empty: hidden as it is
};

struct ModelWeights {
  WeightMatrix token_embedding;        // [V, d_embedding]; empty where bands are used
  WeightMatrix position_embedding;     // [positions, d] or empty
  LinearWeights embedding_projection;  // [d, d_embedding] or empty (OPT project_in)
  NormWeights embedding_norm;          // BLOOM
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  LinearWeights head_projection;    // [d', d] or empty: d' = d (OPT project_out, fairseq project_out_dim)
  LinearWeights head;               // [V, d']; a tied head is the embedding's own view
  std::vector<AdaptiveBand> bands;  // adaptive input and softmax
  WeightMatrix band_head;           // [n_bands - 1, d]: the cluster rows of an adaptive softmax

  std::shared_ptr<const Checkpoint> checkpoint;    // owns what the views see
  std::vector<std::shared_ptr<const void>> owned;  // likewise, of weights that come from no file
  std::size_t n_parameters = 0;                    // tied tensors once
  std::string stored_dtypes;                       // "BF16", "F32 + F16"
};

}  // namespace ffmem
