// The output matrices behind OutputHead, made ready block by block, and the walks over them.
//
// A model without an adaptive softmax has one band: the whole vocabulary.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"
#include "runtime/output_head.hpp"

namespace ffmem {

/// Words [first, first + n) and their matrix.
struct VocabularyBlock {
  std::size_t first = 0;
  std::size_t n = 0;
  std::unique_ptr<const PreparedMatrix> matrix;  // [n, width]
  const float* bias = nullptr;                   // [n] or null
};

struct VocabularyBand {
  std::unique_ptr<const PreparedMatrix> projection;  // hidden -> band, or null: hidden as it is
  std::vector<VocabularyBlock> blocks;
  std::size_t begin() const noexcept { return blocks.front().first; }
  std::size_t end() const noexcept { return blocks.back().first + blocks.back().n; }
};

/// Logits of one block of words.
struct LogitBlock {
  std::span<const std::size_t> rows;  // which of the walk's input, ascending
  std::size_t band;
  std::size_t first_word;
  std::size_t words_before;  // of the same band
  ConstMatrixView logits;    // [rows, words of the block]
  const float* largest;      // [rows], of the block: see Backend::log_sum_exp
};

/// What a walk over the vocabulary reports, OutputHead::kRowBlock rows after the other, bands and blocks in order.
struct VocabularyVisitor {
  std::function<void(const LogitBlock&)> block;
  /// Behind a band's last block: what turns its logits into log-probabilities when added. rows as in the blocks, offsets
  /// [rows].
  std::function<void(std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets)> band_end;
  /// Asked behind band 0: whether the words of another band are to be walked for a row, `entry` being the logit of that band's
  /// entry in band 0. Null: they are.
  std::function<bool(std::size_t row, std::size_t band, float entry)> wants{};
  /// Where the logits of a block's words are to be written, [rows, words]. Null: where the next block's will be too.
  std::function<MatrixView(std::span<const std::size_t> rows, const VocabularyBlock& block)> room{};
};

/// Whether no word of a band can come before a word of band 0, from the logits of that band's entry and that word: a word is no
/// more probable than its band. What rounding can do is far less than the margin.
inline bool is_surely_below(float entry, float logit) {
  return entry < logit - 1e-4F * (1.0F + std::abs(entry) + std::abs(logit));
}

/// Immutable but for being made ready once; safe to use from several threads. `hidden` is [rows, hidden width] as OutputHead
/// has checked it.
class OutputVocabulary {
 public:
  /// Views all three, which must outlive this.
  OutputVocabulary(const ModelConfig& config, const ModelWeights& weights, const Backend& backend, WeightFormat format)
      : config_(config), weights_(weights), backend_(backend), format_(format) {}

  /// The bands, in order of their words. The first call prepares the matrices.
  const std::vector<VocabularyBand>& bands() const { return matrices().bands; }
  std::size_t band_of(TokenId token) const;

  void walk(ConstMatrixView hidden, const VocabularyVisitor& visitor) const;

  /// The same, and out[t] = log p(targets[t] | hidden[t]) on the way. No targets: out is not used.
  void walk_for_targets(ConstMatrixView hidden, std::span<const TokenId> targets, float* out,
                        const VocabularyVisitor& visitor) const;

  /// See OutputHead::walk_scores.
  void walk_scores(ConstMatrixView hidden, const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const;

  /// Of converted weights; 0 until they are made ready.
  std::size_t owned_bytes() const noexcept { return owned_bytes_; }

 private:
  struct Matrices {
    std::vector<VocabularyBand> bands;
    std::unique_ptr<const PreparedMatrix> clusters;  // [n_bands - 1, d]: band 0's entries for the others
    std::size_t owned_bytes() const noexcept;
  };
  const Matrices& matrices() const;
  VocabularyBand make_band(const WeightMatrix& table, std::size_t first_word, const std::vector<float>& bias) const;
  ConstMatrixView band_input(const VocabularyBand& band, ConstMatrixView hidden, std::span<const std::size_t> rows,
                             const AlignedBuffer& gathered, const AlignedBuffer& projected) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const Backend& backend_;
  WeightFormat format_;
  mutable std::once_flag made_ready_;
  mutable Matrices matrices_;
  mutable std::atomic<std::size_t> owned_bytes_ = 0;
};

}  // namespace ffmem
