// From a hidden vector to the vocabulary: plain logits (with bias, soft cap, projection) or an adaptive softmax.
//
// `hidden` below is what the output matrix reads (point final_hidden). A vector of the residual stream becomes one through
// `to_hidden` with the lens of choice.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"

namespace ffmem {

/// How a vector that is not the model's last hidden state is scored against the vocabulary (paper.md section 0).
enum class Lens {
  raw,         // h . E, the paper's definition
  final_norm,  // the model's final norm first, then E (the logit lens); the same as raw where a model has no final norm
};

/// The k best tokens of each row, best first, equal scores by smaller id.
struct TopTokens {
  std::size_t k = 0;
  std::vector<TokenId> tokens;           // [rows, k]
  std::vector<float> log_probabilities;  // [rows, k]
};

class OutputHead {
 public:
  /// Views `weights`, which must outlive this.
  OutputHead(const ModelConfig& config, const ModelWeights& weights, const Backend& backend);
  ~OutputHead();

  std::size_t vocab_size() const noexcept;
  std::size_t hidden_width() const noexcept;  // d, or d_embedding behind a head projection

  /// True where one softmax over logits gives the probabilities; false for an adaptive softmax, which has none.
  bool has_logits() const noexcept;

  /// Final norm (lens final_norm) and head projection. residual [rows, d] -> hidden [rows, hidden_width()].
  void to_hidden(ConstMatrixView residual, Lens lens, MatrixView hidden) const;

  /// out [rows, V]. Only where has_logits(); assert otherwise.
  void logits(ConstMatrixView hidden, MatrixView out) const;

  /// out [rows, V]: natural logarithms of the model's own probabilities.
  void log_probabilities(ConstMatrixView hidden, MatrixView out) const;

  /// The k best tokens (k <= V) of every row, streamed over blocks of the vocabulary: [rows, V] never exists.
  /// Working memory: about rows_per_block * block of the vocabulary * 4 bytes.
  TopTokens top_tokens(ConstMatrixView hidden, std::size_t k) const;

  /// out[t] = log p(targets[t] | hidden[t]), streamed likewise.
  void log_probabilities_of(ConstMatrixView hidden, std::span<const TokenId> targets, float* out) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace ffmem
