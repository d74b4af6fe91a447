// From token ids to vectors of the residual stream: one table (with OPT's projection), or an adaptive input's bands.
//
// Adaptive input (Baevski and Auli 2019): a word of band b is row (word - first word of b) of that band's table, brought to the
// model's width by the band's projection.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/backend.hpp"
#include "runtime/workspace.hpp"

namespace ffmem {

/// Immutable; safe to use from several threads, each with its own workspace.
class Embedding {
 public:
  /// Views `config`, `weights` and `backend`, which must outlive this. `format` is the projections'.
  Embedding(const ModelConfig& config, const ModelWeights& weights, const Backend& backend,
            WeightFormat format = WeightFormat::f32);

  /// out[t] = the scaled embedding of tokens[t], without positions. tokens [T] in range, out [T, d]. Uses workspace.embedding
  /// and workspace.attention_out.
  void embed(std::span<const TokenId> tokens, Workspace& workspace, MatrixView out) const;

  /// Bytes of converted weights held beyond the mapped files.
  std::size_t owned_bytes() const noexcept;

 private:
  void embed_bands(std::span<const TokenId> tokens, Workspace& workspace, MatrixView out) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const Backend& backend_;
  std::unique_ptr<const PreparedMatrix> projection_;                     // [d, d_embedding] or null
  std::vector<std::unique_ptr<const PreparedMatrix>> band_projections_;  // [d, d_band] each
};

}  // namespace ffmem
