// From a hidden vector to the vocabulary: plain logits (with bias, soft cap, projection) or an adaptive softmax.
//
// `hidden` below is what the output matrix reads (point final_hidden). A vector of the residual stream becomes one through
// to_hidden with the lens of choice. The vocabulary is always walked in blocks of kVocabularyBlock words, whose matrices are
// prepared one by one: what does not need [rows, V] never holds it.
//
// Rows, widths and tokens that a caller gives are checked once a call: argument_invalid where they are not as stated below,
// token_out_of_range for a token that is not in [0, V). Every function that computes may also throw std::bad_alloc and
// backend_failed, and what it was to write then means nothing. A thread keeps the room that its largest call worked in.
//
// Adaptive softmax (Grave et al. 2017; fairseq `AdaptiveSoftmax`): band 0 holds the most frequent words and one entry for each
// further band; a word of band b has log p = log p(band b's entry) + log softmax over band b.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/backend.hpp"

namespace ffmem {

/// How a vector that is not the model's last hidden state is scored against the vocabulary (paper section 4: raw).
enum class Lens {
  raw,         // h . E, the paper's definition
  final_norm,  // the model's final norm first, then E (the logit lens); the same as raw where a model has no final norm
};

/// The k best tokens of each row, best first, equal scores by smaller id. A NaN among the logits of a softmax makes all of its
/// probabilities NaN, and these come before all others; in an adaptive softmax's tail it shows only where its band is scored.
struct TopTokens {
  std::size_t k = 0;
  std::vector<TokenId> tokens;           // [rows, k]
  std::vector<float> log_probabilities;  // [rows, k]
};

/// For each row and band of an adaptive softmax: its best word, equal scores by smaller id, and how its log-probability comes
/// about.
struct BandTops {
  std::size_t n_bands = 0;
  std::vector<TokenId> tokens;                 // [rows, n_bands]
  std::vector<float> log_probabilities;        // [rows, n_bands]
  std::vector<float> entry_log_probabilities;  // [rows, n_bands]: of the band as a whole in band 0's softmax; 0 for band 0
};

/// A token that is asked for in the distribution of one row.
struct TargetQuery {
  std::size_t row = 0;
  TokenId token = 0;
};

/// Where the tokens asked for stand.
struct TargetRanks {
  std::vector<float> log_probabilities;  // [queries]
  std::vector<std::uint32_t> ranks;      // [queries], from 0: tokens of higher probability, and of equal with a smaller id
};

/// Which columns of the vocabulary a block of scores holds.
struct ScoreBlock {
  std::size_t band = 0;
  std::size_t first_word = 0;   // words [first_word, first_word + columns)
  bool entries = false;         // instead of words, band 0's entries for bands 1, 2, ... of an adaptive softmax
  const float* bias = nullptr;  // of these words, or null
};

class OutputVocabulary;

/// Immutable; safe to use from several threads.
class OutputHead {
 public:
  /// Views `config`, `weights` and `backend`, which must outlive this. `format` is that of all its matrices. Throws
  /// config_unsupported for more than kVocabularyBlock bands.
  OutputHead(const ModelConfig& config, const ModelWeights& weights, const Backend& backend,
             WeightFormat format = WeightFormat::f32);
  ~OutputHead();

  std::size_t vocab_size() const noexcept { return config_.vocab_size; }  // V
  std::size_t hidden_width() const noexcept { return hidden_width_; }     // d': the head projection's outputs, or d without one

  /// True where one softmax over logits gives the probabilities; false for an adaptive softmax, which has none.
  bool has_logits() const noexcept { return weights_.bands.empty(); }

  /// Final norm (lens final_norm) and head projection. residual [rows, d] -> hidden [rows, hidden_width()], which may be the
  /// same rows.
  void to_hidden(ConstMatrixView residual, Lens lens, MatrixView hidden) const;

  /// hidden [rows, hidden_width()], here and below; out [rows, V]. Throws argument_invalid also unless has_logits().
  void logits(ConstMatrixView hidden, MatrixView out) const;

  /// out [rows, V]: natural logarithms of the model's own probabilities.
  void log_probabilities(ConstMatrixView hidden, MatrixView out) const;

  /// The k best tokens of every row, k cut to V. Working memory: about kRowBlock * (kVocabularyBlock + 3 k) * 4 bytes, and as
  /// much again as the result. Of an adaptive softmax, a band whose entry is below the k-th best word of band 0 has none of
  /// them, and its words are not scored.
  TopTokens top_tokens(ConstMatrixView hidden, std::size_t k) const;

  /// The same, and what log_probabilities_of gives, for the price of one. No targets: target_out is not written.
  TopTokens top_tokens(ConstMatrixView hidden, std::size_t k, std::span<const TokenId> targets, float* target_out) const;

  /// The best word of each band by itself. One band, the whole vocabulary, where has_logits().
  BandTops band_tops(ConstMatrixView hidden) const;

  /// What is linear in hidden, hidden . Eᵀ without bias, cap and softmax, one block of words after the other: visit(block,
  /// scores [rows, words of the block]). Bands in order; band 0's entries come behind its words. Working memory: one block's
  /// scores.
  void walk_scores(ConstMatrixView hidden, const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const;

  /// out[t] = log p(targets[t] | hidden[t]), targets [rows], out [rows]. Only band 0 and a target's own are scored. Working
  /// memory: one block's scores.
  void log_probabilities_of(ConstMatrixView hidden, std::span<const TokenId> targets, float* out) const;

  /// Log-probabilities and ranks of any tokens of any rows; queries ordered by row. Rank 0 is the first of top_tokens: tokens
  /// of one band are ordered by their logits, those of different bands by their log-probabilities. Bands of an adaptive softmax
  /// that hold nothing above the tokens asked for are not scored. Working memory: 64 MiB, or one row's logits.
  TargetRanks ranks_of(ConstMatrixView hidden, std::span<const TargetQuery> queries) const;

  /// Makes the vocabulary's matrices ready, which the first call that needs them does by itself: a head that nobody reads costs
  /// neither time nor memory.
  void prepare() const;

  /// Bytes of converted weights held beyond the mapped files; the vocabulary's from when they are ready.
  std::size_t owned_bytes() const noexcept;

  static constexpr std::size_t kVocabularyBlock = 4096;
  static constexpr std::size_t kRowBlock = 256;

 private:
  const ModelConfig& config_;
  const ModelWeights& weights_;
  const Backend& backend_;
  std::unique_ptr<const OutputVocabulary> vocabulary_;
  std::unique_ptr<const PreparedMatrix> projection_;  // OPT's project_out
  std::size_t hidden_width_ = 0;
};

}  // namespace ffmem
