#include "tools/experiments/token_ranks.hpp"

#include <algorithm>
#include <cmath>

#include "ops/aligned_buffer.hpp"

namespace ffmem::tools {
namespace {

/// Score of word w with its bias, which orders the words of a band.
float score_of(const ScoreBlock& block, std::span<const float> scores, std::size_t w) {
  return scores[w] + (block.bias != nullptr ? block.bias[w] : 0.0F);
}

/// What turns a band's scores into log-probabilities, for each row and band. One band: nothing, its order is the scores'.
class BandOffsets {
 public:
  BandOffsets(const Model& model, std::size_t n_rows)
      : backend_(model.backend()),
        n_bands_(std::max<std::size_t>(1, model.weights().bands.size())),
        sums_(n_rows * n_bands_, -INFINITY),
        entries_(n_rows * n_bands_),
        block_sums_(n_rows) {}

  void add(const ScoreBlock& block, ConstMatrixView scores) {
    if (n_bands_ == 1) return;
    backend_.log_sum_exp(scores, block_sums_.data());
    for (std::size_t r = 0; r < scores.rows; ++r) {
      double& sum = sums_[r * n_bands_ + block.band];
      const auto more = static_cast<double>(block_sums_[r]);
      const double high = std::max(sum, more);
      sum = high + std::log(std::exp(sum - high) + std::exp(more - high));
      for (std::size_t b = 1; block.entries && b < n_bands_; ++b) entries_[r * n_bands_ + b] = scores.row(r)[b - 1];
    }
  }

  float at(std::size_t row, std::size_t band) const {
    if (n_bands_ == 1) return 0.0F;
    const double own = -sums_[row * n_bands_ + band];
    if (band == 0) return static_cast<float>(own);
    return static_cast<float>(own + static_cast<double>(entries_[row * n_bands_ + band]) - sums_[row * n_bands_]);
  }

 private:
  const Backend& backend_;
  std::size_t n_bands_;
  std::vector<double> sums_;
  std::vector<float> entries_;
  std::vector<float> block_sums_;
};

/// A query's own score.
struct Found {
  float score = 0.0F;
  std::size_t band = 0;
};

/// Words of the block that come before the query's token.
std::uint32_t count_before(const ScoreBlock& block, std::span<const float> scores, const TokenQuery& query, const Found& found,
                           float offset, float own_offset) {
  // Within a band the scores themselves decide: adding an offset may round two of them to the same number.
  const bool same_band = block.band == found.band;
  const float own = same_band ? found.score : found.score + own_offset;
  const float shift = same_band ? 0.0F : offset;
  const std::size_t n_smaller_ids =
      std::min(scores.size(),
               static_cast<std::size_t>(std::max<std::int64_t>(0, query.token - static_cast<std::int64_t>(block.first_word))));
  std::uint32_t n = 0;
  for (std::size_t w = 0; w < n_smaller_ids; ++w) n += score_of(block, scores, w) + shift >= own ? 1 : 0;
  for (std::size_t w = n_smaller_ids; w < scores.size(); ++w) n += score_of(block, scores, w) + shift > own ? 1 : 0;
  return n;
}

}  // namespace

void find_ranks(const Model& model, ConstMatrixView hidden, std::span<TokenQuery> queries) {
  std::vector<Found> found(queries.size());
  BandOffsets offsets(model, hidden.rows);
  model.head().walk_scores(hidden, [&](const ScoreBlock& block, ConstMatrixView scores) {
    offsets.add(block, scores);
    if (block.entries) return;
    for (std::size_t q = 0; q < queries.size(); ++q) {
      const auto word = static_cast<std::size_t>(queries[q].token);
      if (word < block.first_word || word - block.first_word >= scores.cols) continue;
      found[q] = {score_of(block, scores.row(queries[q].row), word - block.first_word), block.band};
    }
  });
  model.head().walk_scores(hidden, [&](const ScoreBlock& block, ConstMatrixView scores) {
    if (block.entries) return;
#pragma omp parallel for schedule(static)
    for (std::size_t q = 0; q < queries.size(); ++q) {
      TokenQuery& query = queries[q];
      query.rank += count_before(block, scores.row(query.row), query, found[q], offsets.at(query.row, block.band),
                                 offsets.at(query.row, found[q].band));
    }
  });
}

}  // namespace ffmem::tools
