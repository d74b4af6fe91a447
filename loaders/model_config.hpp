// What a checkpoint's config.json says, in this program's own terms: the data over which the one forward pass is written.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ops/activation.hpp"
#include "ops/backend.hpp"
#include "ops/dtype.hpp"

namespace ffmem {

enum class NormKind { layer_norm, rms_norm };

/// How attention and feed-forward layer stand to each other in a block.
enum class Wiring {
  sequential,  // the feed-forward layer reads the stream after attention was added
  parallel,    // both read the block's input
};

enum class PositionKind { none, learned, sinusoidal, rotary, alibi };

struct ModelConfig {
  std::string family;  // "gpt2", "llama", ...: for people; the forward pass never looks at it

  std::size_t n_layers = 0;       // L
  std::size_t d_model = 0;        // d
  std::size_t d_memory = 0;       // d_m: memories a layer
  std::size_t vocab_size = 0;     // V
  std::size_t max_positions = 0;  // the longest context the checkpoint was made for

  NormKind norm = NormKind::layer_norm;
  float norm_epsilon = 1e-5F;
  Wiring wiring = Wiring::sequential;

  // Embedding.
  std::size_t d_embedding = 0;   // width of the token embedding; d unless projections stand between
  float embedding_scale = 1.0F;  // multiplies the token embedding
  PositionKind positions = PositionKind::none;
  std::size_t position_offset = 0;  // added to a position before it is looked up (OPT 2; fairseq 2)

  // Attention.
  std::size_t n_heads = 0;
  std::size_t n_kv_heads = 0;
  std::size_t head_dim = 0;
  std::vector<float> attention_scale;         // [L]
  std::vector<std::size_t> attention_window;  // [L], 0: all positions
  float attention_softcap = 0.0F;
  std::vector<float> rotary_inv_freq;  // [r/2]
  RotaryLayout rotary_layout = RotaryLayout::halves;
  std::vector<float> alibi_slopes;  // [n_heads]

  // Feed-forward layer.
  Activation activation = Activation::relu;
  bool gated = false;  // m = f(gate) * up

  // Output head.
  float final_softcap = 0.0F;
  std::vector<std::size_t> adaptive_cutoffs;  // band borders of an adaptive softmax, without V; empty: one plain softmax

  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::vector<TokenId> all_eos;  // every id that ends a generation: generation_config.json's where that names any
};

}  // namespace ffmem
