#include "runtime/output_head.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "loaders/resident_pages.hpp"
#include "ops/error.hpp"
#include "ops/parallel.hpp"
#include "ops/row_buffer.hpp"
#include "runtime/norm.hpp"
#include "runtime/output_head_arguments.hpp"

namespace ffmem {
namespace {

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
  if (weights.bands.size() > kVocabularyBlock) {  // so that band 0's entries for the others are a block as well
    fail(ErrorCode::config_unsupported, "an adaptive softmax: expected at most ", kVocabularyBlock, " bands, found ",
         weights.bands.size());
  }
  if (!weights.head_projection.empty()) {
    projection_ = backend.prepare(weights.head_projection.matrix, format);
    hidden_width_ = projection_->rows();
  }
}

const OutputHead::Vocabulary& OutputHead::vocabulary() const {
  std::call_once(made_ready_, [this] {
    Vocabulary made;  // kept only whole: after an error the next caller begins anew
    if (has_logits()) made.bands.push_back(make_band(weights_.head.matrix, 0, weights_.head.bias));
    std::size_t first_word = 0;
    for (const AdaptiveBand& stored : weights_.bands) {
      Band band = make_band(stored.out_table.empty() ? stored.table : stored.out_table, first_word, {});
      if (!stored.out_projection.empty()) band.projection = backend_.prepare(stored.out_projection, format_);
      first_word += stored.table.rows;
      made.bands.push_back(std::move(band));
    }
    if (!has_logits()) made.clusters = backend_.prepare(weights_.band_head, format_);
    vocabulary_ = std::move(made);
    vocabulary_bytes_ = vocabulary_.owned_bytes();
  });
  return vocabulary_;
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
    release_if_copied(weights_, table.row_slice(begin, n), *band.blocks.back().matrix);
  }
  return band;
}

void OutputHead::to_hidden(ConstMatrixView residual, Lens lens, MatrixView hidden) const {
  check_width("residual", residual, config_.d_model);
  check_shape("hidden", hidden, residual.rows, hidden_width_);
  const NormWeights identity;
  const NormWeights& norm = lens == Lens::final_norm ? weights_.final_norm : identity;
  if (!projection_) {
    apply_norm(backend_, config_, norm, residual, hidden);
    return;
  }
  static thread_local RowBuffer normed;  // kept for the next token
  if (!normed.holds(residual.rows, residual.cols)) normed = RowBuffer(residual.rows, residual.cols);
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
  if (!has_logits()) fail(ErrorCode::argument_invalid, "logits: this model's adaptive softmax has log-probabilities alone");
  check_width("hidden", hidden, hidden_width_);
  check_shape("out", out, hidden.rows, vocab_size());
  static thread_local std::vector<Product> products;  // kept for the next token
  products.clear();
  for (const Block& block : bands().front().blocks) {
    products.push_back({*block.matrix, block.bias, {out.data + block.first, out.rows, block.n, out.stride}});
  }
  backend_.matmul(hidden, products);
  if (config_.final_softcap > 0.0F) backend_.softcap(out, config_.final_softcap);
}

void OutputHead::log_probabilities(ConstMatrixView hidden, MatrixView out) const {
  check_width("hidden", hidden, hidden_width_);
  check_shape("out", out, hidden.rows, vocab_size());
  walk(hidden, {.block = [](const LogitBlock&) {},
                .band_end =
                    [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                      const std::size_t n_words = band_end(band) - band_begin(band);
                      parallel_for(rows.size(), n_words, [&](std::size_t r) {
                        for (float& x : out.row(rows[r]).subspan(band_begin(band), n_words)) x += offsets[r];
                      });
                    },
                // Every row is wanted, so that those of a chunk follow each other.
                .room = [&](std::span<const std::size_t> rows, const Block& block) -> MatrixView {
                  return {out.row_data(rows.front()) + block.first, rows.size(), block.n, out.stride};
                }});
}

TopTokens OutputHead::top_tokens(ConstMatrixView hidden, std::size_t k) const { return top_tokens(hidden, k, {}, nullptr); }

TopTokens OutputHead::top_tokens(ConstMatrixView hidden, std::size_t k, std::span<const TokenId> targets,
                                 float* target_out) const {
  check_width("hidden", hidden, hidden_width_);
  if (!targets.empty()) check_targets(targets, hidden.rows, vocab_size());
  k = std::min(k, vocab_size());
  std::vector<std::vector<Best>> best(hidden.rows);
  std::vector<float> bar(hidden.rows);  // the k-th best logit of band 0
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
          [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
            of_band.resize(std::min(k, band_end(band) - band_begin(band)));
            for (std::size_t r = 0; r < rows.size(); ++r) {
              for (std::size_t i = 0; i < of_band.size(); ++i) {
                of_band[i] = {static_cast<TokenId>(band_begin(band) + words[r * k + i]), logits[r * k + i] + offsets[r]};
              }
              keep_best(best[rows[r]], of_band, k);
              if (band == 0) bar[rows[r]] = k > 0 && of_band.size() == k ? logits[r * k + k - 1] : -INFINITY;
            }
          },
      .wants = [&](std::size_t row, std::size_t, float entry) { return !is_surely_below(entry, bar[row]); }};
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
  check_width("hidden", hidden, hidden_width_);
  const std::size_t n_bands = bands().size();
  BandTops result{.n_bands = n_bands,
                  .tokens = std::vector<TokenId>(hidden.rows * n_bands),
                  .log_probabilities = std::vector<float>(hidden.rows * n_bands),
                  .entry_log_probabilities = std::vector<float>(hidden.rows * n_bands)};
  std::vector<std::uint32_t> words(std::min(kRowBlock, hidden.rows));
  std::vector<float> logits(words.size());
  std::vector<float> head_offsets;  // of the rows at hand
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      backend_.top_k(block.logits, 1, words.data(), logits.data(), block.words_before, block.largest);
                    },
                .band_end =
                    [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                      for (std::size_t r = 0; r < rows.size(); ++r) {
                        const std::size_t at = rows[r] * n_bands + band;
                        result.tokens[at] = static_cast<TokenId>(band_begin(band) + words[r]);
                        result.log_probabilities[at] = logits[r] + offsets[r];
                      }
                      if (band == 0) head_offsets.assign(offsets.begin(), offsets.end());
                    },
                .wants =
                    [&](std::size_t row, std::size_t band, float entry) {
                      result.entry_log_probabilities[row * n_bands + band] = entry + head_offsets[row % kRowBlock];
                      return true;
                    }});
  return result;
}

std::size_t OutputHead::Vocabulary::owned_bytes() const noexcept {
  const auto owned = [](const std::unique_ptr<const PreparedMatrix>& m) { return m ? m->owned_bytes() : 0; };
  std::size_t bytes = owned(clusters);
  for (const Band& band : bands) {
    bytes += owned(band.projection);
    for (const Block& block : band.blocks) bytes += owned(block.matrix);
  }
  return bytes;
}

std::size_t OutputHead::owned_bytes() const noexcept {
  return (projection_ ? projection_->owned_bytes() : 0) + vocabulary_bytes_;
}

}  // namespace ffmem
