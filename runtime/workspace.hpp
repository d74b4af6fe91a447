// Every activation buffer of a forward pass, sized once.
#pragma once

#include <algorithm>
#include <cstddef>

#include "loaders/model_config.hpp"
#include "ops/row_buffer.hpp"

namespace ffmem {

/// The feed-forward layer runs over this many rows at a time: enough for a few threads to have rows of their own, which stay in
/// their caches from product to product, and few enough for all coefficients to be in cache when a hook reads them.
inline constexpr std::size_t kFeedForwardRows = 512;

/// T: tokens of the largest run; R = min(T, kFeedForwardRows). Buffer: RowBuffer, or a stand-in that only counts bytes
/// (workspace_bytes).
template <class Buffer>
struct WorkspaceOf {
  WorkspaceOf(const ModelConfig& c, std::size_t max_tokens)
      : residual(max_tokens, c.d_model),
        ffn_in(max_tokens, c.d_model),
        embedding(needs_embedding(c) ? max_tokens : 0, c.d_embedding),
        query(max_tokens, c.n_heads * c.head_dim),
        key(max_tokens, c.n_kv_heads * c.head_dim),
        value(max_tokens, c.n_kv_heads * c.head_dim),
        heads(max_tokens, c.n_heads * c.head_dim),
        attention_out(max_tokens, c.d_model),
        coefficients(std::min(max_tokens, kFeedForwardRows), c.d_memory),
        ups(c.gated ? std::min(max_tokens, kFeedForwardRows) : 0, c.d_memory),
        ffn_out(std::min(max_tokens, kFeedForwardRows), c.d_model) {}

  Buffer residual;   // [T, d]
  Buffer ffn_in;     // [T, d], the attention's normed input before it is the feed-forward layer's; first, positions' embeddings
  Buffer embedding;  // [T, d_embedding], only where projections follow the embedding tables
  Buffer query;      // [T, n_heads * head_dim]
  Buffer key;        // [T, n_kv_heads * head_dim]
  Buffer value;      // [T, n_kv_heads * head_dim]
  Buffer heads;      // [T, n_heads * head_dim], attention before its output projection
  Buffer attention_out;  // [T, d]; first, rows of a band's projection
  Buffer coefficients;   // [R, d_m], key scores until the activation
  Buffer ups;            // [R, d_m], gated layers
  Buffer ffn_out;        // [R, d]

  static bool needs_embedding(const ModelConfig& c) { return c.d_embedding != c.d_model || !c.adaptive_cutoffs.empty(); }

  std::size_t bytes() const noexcept {
    return residual.bytes() + ffn_in.bytes() + embedding.bytes() + query.bytes() + key.bytes() + value.bytes() + heads.bytes() +
           attention_out.bytes() + coefficients.bytes() + ups.bytes() + ffn_out.bytes();
  }
};

using Workspace = WorkspaceOf<RowBuffer>;

/// What a workspace would hold.
inline std::size_t workspace_bytes(const ModelConfig& c, std::size_t max_tokens) {
  struct Count {
    Count(std::size_t rows, std::size_t width) : n_bytes(RowBuffer::bytes(rows, width)) {}
    std::size_t bytes() const noexcept { return n_bytes; }
    std::size_t n_bytes;
  };
  return WorkspaceOf<Count>(c, max_tokens).bytes();
}

}  // namespace ffmem
