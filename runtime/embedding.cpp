#include "runtime/embedding.hpp"

#include <algorithm>

namespace ffmem {

Embedding::Embedding(const ModelConfig& config, const ModelWeights& weights, const Backend& backend, WeightFormat format)
    : config_(config), weights_(weights), backend_(backend) {
  if (!weights.embedding_projection.empty()) projection_ = backend.prepare(weights.embedding_projection.matrix, format);
  for (const AdaptiveBand& band : weights.bands) band_projections_.push_back(backend.prepare(band.in_projection, format));
}

void Embedding::embed(std::span<const TokenId> tokens, Workspace& workspace, MatrixView out) const {
  if (!weights_.bands.empty()) {
    embed_bands(tokens, workspace, out);
  } else if (projection_) {
    const MatrixView rows = workspace.embedding.matrix(tokens.size(), config_.d_embedding);
    const std::vector<float>& bias = weights_.embedding_projection.bias;
    backend_.gather_rows(weights_.token_embedding, tokens, rows);
    backend_.matmul(rows, *projection_, bias.empty() ? nullptr : bias.data(), out);
  } else {
    backend_.gather_rows(weights_.token_embedding, tokens, out);
  }
  if (config_.embedding_scale != 1.0F) backend_.scale(out, config_.embedding_scale);
}

void Embedding::embed_bands(std::span<const TokenId> tokens, Workspace& workspace, MatrixView out) const {
  std::size_t first_word = 0;
  for (std::size_t b = 0; b < weights_.bands.size(); ++b) {
    const WeightMatrix& table = weights_.bands[b].table;
    const auto in_band = [&](TokenId token) {
      const auto word = static_cast<std::size_t>(token);
      return word >= first_word && word < first_word + table.rows;
    };
    const auto n = static_cast<std::size_t>(std::ranges::count_if(tokens, in_band));
    const MatrixView rows = workspace.embedding.matrix(n, table.cols);
    const MatrixView projected = workspace.attention_out.matrix(n, config_.d_model);
    std::size_t next = 0;
    for (const TokenId token : tokens) {
      if (in_band(token)) read_row(table, static_cast<std::size_t>(token) - first_word, rows.row_data(next++));
    }
    if (n > 0) backend_.matmul(rows, *band_projections_[b], nullptr, projected);
    next = 0;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      if (in_band(tokens[t])) std::ranges::copy(projected.row(next++), out.row_data(t));
    }
    first_word += table.rows;
  }
}

std::size_t Embedding::owned_bytes() const noexcept {
  std::size_t bytes = projection_ ? projection_->owned_bytes() : 0;
  for (const auto& projection : band_projections_) bytes += projection->owned_bytes();
  return bytes;
}

}  // namespace ffmem
