#include "runtime/output_head.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/error.hpp"
#include "ops/parallel.hpp"
#include "ops/row_buffer.hpp"
#include "runtime/norm.hpp"
#include "runtime/output_head_arguments.hpp"
#include "runtime/output_vocabulary.hpp"

namespace ffmem {
namespace {

/// A row's k best words so far, best first.
struct Best {
  TokenId token = 0;
  float score = 0.0F;
};

/// Keeps the k best of two lists that are each in order; equal scores by smaller token. NaN comes first: what is no number is
/// not known to be behind any other, and must show.
void keep_best(std::vector<Best>& best, std::span<const Best> more, std::size_t k) {
  std::vector<Best> merged(std::min(k, best.size() + more.size()));
  auto better = [](const Best& a, const Best& b) {
    if (std::isnan(a.score) || std::isnan(b.score)) return std::isnan(a.score);
    return a.score > b.score || (a.score == b.score && a.token < b.token);
  };
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
    : config_(config),
      weights_(weights),
      backend_(backend),
      vocabulary_(std::make_unique<const OutputVocabulary>(config, weights, backend, format)),
      hidden_width_(config.d_model) {
  if (weights.bands.size() > kVocabularyBlock) {  // so that band 0's entries for the others are a block as well
    fail(ErrorCode::config_unsupported, "an adaptive softmax: expected at most ", kVocabularyBlock, " bands, found ",
         weights.bands.size());
  }
  if (!weights.head_projection.empty()) {
    projection_ = backend.prepare(weights.head_projection.matrix, format);
    hidden_width_ = projection_->rows();
  }
}

OutputHead::~OutputHead() = default;

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

void OutputHead::logits(ConstMatrixView hidden, MatrixView out) const {
  if (!has_logits()) fail(ErrorCode::argument_invalid, "logits: this model's adaptive softmax has log-probabilities alone");
  check_width("hidden", hidden, hidden_width_);
  check_shape("out", out, hidden.rows, vocab_size());
  static thread_local std::vector<Product> products;  // kept for the next token
  products.clear();
  for (const VocabularyBlock& block : vocabulary_->bands().front().blocks) {
    products.push_back({*block.matrix, block.bias, {out.data + block.first, out.rows, block.n, out.stride}});
  }
  backend_.matmul(hidden, products);
  if (config_.final_softcap > 0.0F) backend_.softcap(out, config_.final_softcap);
}

void OutputHead::log_probabilities(ConstMatrixView hidden, MatrixView out) const {
  check_width("hidden", hidden, hidden_width_);
  check_shape("out", out, hidden.rows, vocab_size());
  vocabulary_->walk(hidden, {.block = [](const LogitBlock&) {},
                             .band_end =
                                 [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                                   const std::size_t n_words =
                                       vocabulary_->bands()[band].end() - vocabulary_->bands()[band].begin();
                                   parallel_for(rows.size(), n_words, [&](std::size_t r) {
                                     for (float& x : out.row(rows[r]).subspan(vocabulary_->bands()[band].begin(), n_words))
                                       x += offsets[r];
                                   });
                                 },
                             // Every row is wanted, so that those of a chunk follow each other.
                             .room = [&](std::span<const std::size_t> rows, const VocabularyBlock& block) -> MatrixView {
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
  const VocabularyVisitor visitor{
      .block =
          [&](const LogitBlock& block) {
            backend_.top_k(block.logits, k, words.data(), logits.data(), block.words_before, block.largest);
          },
      .band_end =
          [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
            of_band.resize(std::min(k, vocabulary_->bands()[band].end() - vocabulary_->bands()[band].begin()));
            for (std::size_t r = 0; r < rows.size(); ++r) {
              for (std::size_t i = 0; i < of_band.size(); ++i) {
                of_band[i] = {static_cast<TokenId>(vocabulary_->bands()[band].begin() + words[r * k + i]),
                              logits[r * k + i] + offsets[r]};
              }
              keep_best(best[rows[r]], of_band, k);
              if (band == 0) bar[rows[r]] = k > 0 && of_band.size() == k ? logits[r * k + k - 1] : -INFINITY;
            }
          },
      .wants = [&](std::size_t row, std::size_t, float entry) { return !is_surely_below(entry, bar[row]); }};
  vocabulary_->walk_for_targets(hidden, targets, target_out, visitor);
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
  const std::size_t n_bands = vocabulary_->bands().size();
  BandTops result{.n_bands = n_bands,
                  .tokens = std::vector<TokenId>(hidden.rows * n_bands),
                  .log_probabilities = std::vector<float>(hidden.rows * n_bands),
                  .entry_log_probabilities = std::vector<float>(hidden.rows * n_bands)};
  std::vector<std::uint32_t> words(std::min(kRowBlock, hidden.rows));
  std::vector<float> logits(words.size());
  std::vector<float> head_offsets;  // of the rows at hand
  vocabulary_->walk(hidden, {.block =
                                 [&](const LogitBlock& block) {
                                   backend_.top_k(block.logits, 1, words.data(), logits.data(), block.words_before,
                                                  block.largest);
                                 },
                             .band_end =
                                 [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                                   for (std::size_t r = 0; r < rows.size(); ++r) {
                                     const std::size_t at = rows[r] * n_bands + band;
                                     result.tokens[at] = static_cast<TokenId>(vocabulary_->bands()[band].begin() + words[r]);
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

void OutputHead::log_probabilities_of(ConstMatrixView hidden, std::span<const TokenId> targets, float* out) const {
  check_width("hidden", hidden, hidden_width_);
  check_targets(targets, hidden.rows, vocab_size());
  vocabulary_->walk_for_targets(hidden, targets, out,
                                {.block = [](const LogitBlock&) {},
                                 .band_end = [](std::span<const std::size_t>, std::size_t, std::span<const float>) {},
                                 .wants = [](std::size_t, std::size_t, float) { return false; }});
}

void OutputHead::walk_scores(ConstMatrixView hidden,
                             const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const {
  check_width("hidden", hidden, hidden_width_);
  vocabulary_->walk_scores(hidden, visit);
}

void OutputHead::prepare() const { vocabulary_->bands(); }

std::size_t OutputHead::owned_bytes() const noexcept {
  return (projection_ ? projection_->owned_bytes() : 0) + vocabulary_->owned_bytes();
}

}  // namespace ffmem
