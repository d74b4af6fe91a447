#include "runtime/output_head.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/aligned_buffer.hpp"
#include "runtime/norm.hpp"

namespace ffmem {
namespace {

/// log(exp(a) + exp(b)), also where one of them is -inf.
double log_add(double a, double b) {
  const double high = std::max(a, b);
  return std::isinf(high) ? high : high + std::log1p(std::exp(std::min(a, b) - high));
}

/// A row's k best words so far, best first.
struct Best {
  TokenId token = 0;
  float score = 0.0F;
};

/// Keeps the k best of two lists that are each in order; equal scores by smaller token.
void keep_best(std::vector<Best>& best, std::span<const Best> more, std::size_t k) {
  std::vector<Best> merged(std::min(k, best.size() + more.size()));
  auto better = [](const Best& a, const Best& b) { return a.score > b.score || (a.score == b.score && a.token < b.token); };
  std::size_t i = 0;
  std::size_t j = 0;
  for (Best& slot : merged) {
    const bool take_old = j == more.size() || (i < best.size() && better(best[i], more[j]));
    slot = take_old ? best[i++] : more[j++];
  }
  best = std::move(merged);
}

}  // namespace

OutputHead::OutputHead(const ModelConfig& config, const ModelWeights& weights, const Backend& backend, WeightFormat format)
    : config_(config), weights_(weights), backend_(backend), format_(format), hidden_width_(config.d_model) {
  if (!weights.head_projection.empty()) {
    projection_ = backend.prepare(weights.head_projection.matrix, format);
    hidden_width_ = projection_->rows();
  }
  if (weights.bands.empty()) {
    bands_.push_back(make_band(weights.head.matrix, 0, weights.head.bias));
    return;
  }
  std::size_t first_word = 0;
  for (const AdaptiveBand& stored : weights.bands) {
    Band band = make_band(stored.out_table.empty() ? stored.table : stored.out_table, first_word, {});
    if (!stored.out_projection.empty()) band.projection = backend.prepare(stored.out_projection, format);
    first_word += stored.table.rows;
    bands_.push_back(std::move(band));
  }
  clusters_ = backend.prepare(weights.band_head, format);
}

OutputHead::Band OutputHead::make_band(const WeightMatrix& table, std::size_t first_word,
                                       const std::vector<float>& bias) const {
  Band band;
  for (std::size_t begin = 0; begin < table.rows; begin += kVocabularyBlock) {
    const std::size_t n = std::min(kVocabularyBlock, table.rows - begin);
    band.blocks.push_back({.first = first_word + begin,
                           .n = n,
                           .matrix = backend_.prepare(table.row_slice(begin, n), format_),
                           .bias = bias.empty() ? nullptr : bias.data() + begin});
  }
  return band;
}

void OutputHead::to_hidden(ConstMatrixView residual, Lens lens, MatrixView hidden) const {
  const NormWeights identity;
  const NormWeights& norm = lens == Lens::final_norm ? weights_.final_norm : identity;
  if (!projection_) {
    apply_norm(backend_, config_, norm, residual, hidden);
    return;
  }
  const AlignedBuffer normed(residual.rows * residual.cols);
  const MatrixView normed_rows = normed.matrix(residual.rows, residual.cols);
  apply_norm(backend_, config_, norm, residual, normed_rows);
  const std::vector<float>& bias = weights_.head_projection.bias;
  backend_.matmul(normed_rows, *projection_, bias.empty() ? nullptr : bias.data(), hidden);
}

void OutputHead::block_logits(const Block& block, ConstMatrixView band_input, MatrixView out) const {
  backend_.matmul(band_input, *block.matrix, block.bias, out);
  if (config_.final_softcap > 0.0F) backend_.softcap(out, config_.final_softcap);
}

void OutputHead::logits(ConstMatrixView hidden, MatrixView out) const {
  assert(has_logits());
  for (const Block& block : bands_.front().blocks) {
    block_logits(block, hidden, {out.data + block.first, out.rows, block.n, out.stride});
  }
}

void OutputHead::walk(ConstMatrixView hidden, const Visitor& visitor) const {
  const std::size_t chunk_rows = std::min(kRowBlock, hidden.rows);
  const AlignedBuffer logits_buffer(chunk_rows * kVocabularyBlock);
  const AlignedBuffer band_buffer(bands_.size() > 1 ? chunk_rows * hidden_width_ : 0);
  const std::size_t n_clusters = bands_.size() - 1;
  std::vector<float> block_sum(chunk_rows);
  std::vector<float> largest(chunk_rows);
  std::vector<double> band_sum(chunk_rows);
  std::vector<double> head_sum(chunk_rows);
  std::vector<float> cluster_logits(chunk_rows * n_clusters);
  std::vector<float> offsets(chunk_rows);

  for (std::size_t first_row = 0; first_row < hidden.rows; first_row += chunk_rows) {
    const std::size_t n_rows = std::min(chunk_rows, hidden.rows - first_row);
    const ConstMatrixView rows = hidden.rows_between(first_row, first_row + n_rows);
    auto add_to_sum = [&](ConstMatrixView logits) {
      backend_.log_sum_exp(logits, block_sum.data(), largest.data());
      for (std::size_t r = 0; r < n_rows; ++r) {
        band_sum[r] = log_add(band_sum[r], static_cast<double>(block_sum[r]));
      }
    };
    for (std::size_t b = 0; b < bands_.size(); ++b) {
      const Band& band = bands_[b];
      ConstMatrixView input = rows;
      if (band.projection) {
        const MatrixView projected = band_buffer.matrix(n_rows, band.projection->rows());
        backend_.matmul(rows, *band.projection, nullptr, projected);
        input = projected;
      }
      std::fill(band_sum.begin(), band_sum.end(), -INFINITY);
      for (const Block& block : band.blocks) {
        const MatrixView logits = logits_buffer.matrix(n_rows, block.n);
        block_logits(block, input, logits);
        add_to_sum(logits);
        visitor.block({.first_row = first_row,
                       .band = b,
                       .first_word = block.first,
                       .words_before = block.first - band_begin(b),
                       .logits = logits,
                       .largest = largest.data()});
      }
      if (b == 0 && n_clusters > 0) {
        const MatrixView clusters(cluster_logits.data(), n_rows, n_clusters);
        backend_.matmul(rows, *clusters_, nullptr, clusters);
        add_to_sum(clusters);
      }
      if (b == 0) head_sum = band_sum;
      for (std::size_t r = 0; r < n_rows; ++r) {
        const double entry = b == 0 ? 0.0 : static_cast<double>(cluster_logits[r * n_clusters + b - 1]) - head_sum[r];
        offsets[r] = static_cast<float>(entry - band_sum[r]);
      }
      visitor.band_end(first_row, b, std::span(offsets).first(n_rows));
    }
  }
}

void OutputHead::log_probabilities(ConstMatrixView hidden, MatrixView out) const {
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      for (std::size_t r = 0; r < block.logits.rows; ++r) {
                        std::ranges::copy(block.logits.row(r), out.row_data(block.first_row + r) + block.first_word);
                      }
                    },
                .band_end =
                    [&](std::size_t first_row, std::size_t band, std::span<const float> offsets) {
                      const std::size_t n_words = band_end(band) - band_begin(band);
                      for (std::size_t r = 0; r < offsets.size(); ++r) {
                        for (float& x : out.row(first_row + r).subspan(band_begin(band), n_words)) x += offsets[r];
                      }
                    }});
}

TopTokens OutputHead::top_tokens(ConstMatrixView hidden, std::size_t k) const { return top_tokens(hidden, k, {}, nullptr); }

TopTokens OutputHead::top_tokens(ConstMatrixView hidden, std::size_t k, std::span<const TokenId> targets,
                                 float* target_out) const {
  k = std::min(k, vocab_size());
  std::vector<std::vector<Best>> best(hidden.rows);
  // Of the band that is being walked.
  const std::size_t chunk_rows = std::min(kRowBlock, hidden.rows);
  std::vector<std::uint32_t> words(chunk_rows * k);
  std::vector<float> logits(chunk_rows * k);
  std::vector<Best> of_band;
  const Visitor visitor{
      .block =
          [&](const LogitBlock& block) {
            backend_.top_k(block.logits, k, words.data(), logits.data(), block.words_before, block.largest);
          },
      .band_end =
          [&](std::size_t first_row, std::size_t band, std::span<const float> offsets) {
            of_band.resize(std::min(k, band_end(band) - band_begin(band)));
            for (std::size_t r = 0; r < offsets.size(); ++r) {
              for (std::size_t i = 0; i < of_band.size(); ++i) {
                of_band[i] = {static_cast<TokenId>(band_begin(band) + words[r * k + i]), logits[r * k + i] + offsets[r]};
              }
              keep_best(best[first_row + r], of_band, k);
            }
          }};
  walk_for_targets(hidden, targets, target_out, visitor);
  TopTokens result;
  result.k = k;
  for (const std::vector<Best>& row : best) {
    for (const Best& b : row) {
      result.tokens.push_back(b.token);
      result.log_probabilities.push_back(b.score);
    }
  }
  return result;
}

BandTops OutputHead::band_tops(ConstMatrixView hidden) const {
  const std::size_t n_bands = bands_.size();
  BandTops result{.n_bands = n_bands,
                  .tokens = std::vector<TokenId>(hidden.rows * n_bands),
                  .log_probabilities = std::vector<float>(hidden.rows * n_bands),
                  .entry_log_probabilities = std::vector<float>(hidden.rows * n_bands)};
  std::vector<std::uint32_t> words(std::min(kRowBlock, hidden.rows));
  std::vector<float> logits(words.size());
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      backend_.top_k(block.logits, 1, words.data(), logits.data(), block.words_before, block.largest);
                    },
                .band_end =
                    [&](std::size_t first_row, std::size_t band, std::span<const float> offsets) {
                      for (std::size_t r = 0; r < offsets.size(); ++r) {
                        const std::size_t at = (first_row + r) * n_bands + band;
                        result.tokens[at] = static_cast<TokenId>(band_begin(band) + words[r]);
                        result.log_probabilities[at] = logits[r] + offsets[r];
                      }
                      if (band != 0 || n_bands == 1) return;
                      const AlignedBuffer buffer(offsets.size() * (n_bands - 1));
                      const MatrixView entries = buffer.matrix(offsets.size(), n_bands - 1);
                      backend_.matmul(hidden.rows_between(first_row, first_row + offsets.size()), *clusters_, nullptr, entries);
                      for (std::size_t r = 0; r < offsets.size(); ++r) {
                        for (std::size_t b = 1; b < n_bands; ++b) {
                          result.entry_log_probabilities[(first_row + r) * n_bands + b] = entries.row(r)[b - 1] + offsets[r];
                        }
                      }
                    }});
  return result;
}

void OutputHead::log_probabilities_of(ConstMatrixView hidden, std::span<const TokenId> targets, float* out) const {
  walk_for_targets(hidden, targets, out, {});
}

/// Shows everything to `other` and fills out[t] = log p(targets[t] | hidden[t]) on the way. No targets: out is not used.
void OutputHead::walk_for_targets(ConstMatrixView hidden, std::span<const TokenId> targets, float* out,
                                  const Visitor& other) const {
  const auto target = [&](std::size_t row) { return static_cast<std::size_t>(targets[row]); };
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      if (other.block) other.block(block);
                      for (std::size_t r = 0; r < block.logits.rows && !targets.empty(); ++r) {
                        const std::size_t word = target(block.first_row + r);
                        if (word >= block.first_word && word - block.first_word < block.logits.cols) {
                          out[block.first_row + r] = block.logits.row(r)[word - block.first_word];
                        }
                      }
                    },
                .band_end =
                    [&](std::size_t first_row, std::size_t band, std::span<const float> offsets) {
                      if (other.band_end) other.band_end(first_row, band, offsets);
                      for (std::size_t r = 0; r < offsets.size() && !targets.empty(); ++r) {
                        const std::size_t word = target(first_row + r);
                        if (word >= band_begin(band) && word < band_end(band)) out[first_row + r] += offsets[r];
                      }
                    }});
}

void OutputHead::walk_scores(ConstMatrixView hidden,
                             const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const {
  const AlignedBuffer scores_buffer(hidden.rows * kVocabularyBlock);
  const AlignedBuffer band_buffer(bands_.size() > 1 ? hidden.rows * hidden_width_ : 0);
  for (std::size_t b = 0; b < bands_.size(); ++b) {
    const Band& band = bands_[b];
    ConstMatrixView input = hidden;
    if (band.projection) {
      const MatrixView projected = band_buffer.matrix(hidden.rows, band.projection->rows());
      backend_.matmul(hidden, *band.projection, nullptr, projected);
      input = projected;
    }
    for (const Block& block : band.blocks) {
      const MatrixView scores = scores_buffer.matrix(hidden.rows, block.n);
      backend_.matmul(input, *block.matrix, nullptr, scores);
      visit({.band = b, .first_word = block.first, .entries = false, .bias = block.bias}, scores);
    }
    if (b == 0 && clusters_) {
      const MatrixView scores = scores_buffer.matrix(hidden.rows, clusters_->rows());
      backend_.matmul(hidden, *clusters_, nullptr, scores);
      visit({.band = 0, .first_word = 0, .entries = true, .bias = nullptr}, scores);
    }
  }
}

std::size_t OutputHead::owned_bytes() const noexcept {
  const auto owned = [](const std::unique_ptr<const PreparedMatrix>& m) { return m ? m->owned_bytes() : 0; };
  std::size_t bytes = owned(projection_) + owned(clusters_);
  for (const Band& band : bands_) {
    bytes += owned(band.projection);
    for (const Block& block : band.blocks) bytes += owned(block.matrix);
  }
  return bytes;
}

}  // namespace ffmem
