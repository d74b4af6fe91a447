// OutputHead::ranks_of: where tokens stand among all.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/aligned_buffer.hpp"
#include "ops/parallel.hpp"
#include "runtime/output_head.hpp"
#include "runtime/output_head_arguments.hpp"
#include "runtime/output_vocabulary.hpp"

namespace ffmem {
namespace {

/// Logits held at once: 64 MiB.
constexpr std::size_t kHeldLogits = std::size_t{1} << 24;

/// How many of the words first_word, first_word + 1, ... come before the target: x + offset above its score, or equal to it
/// with a smaller id. NaN stands behind every number.
std::size_t count_before(std::span<const float> logits, std::size_t first_word, std::size_t target, float offset, float score) {
  const std::size_t split = std::clamp(target, first_word, first_word + logits.size()) - first_word;
  const std::size_t behind = split + (target >= first_word && target < first_word + logits.size() ? 1 : 0);
  std::size_t n = 0;
  if (std::isnan(score)) {
    for (const float x : logits.subspan(behind)) n += std::isnan(x + offset) ? 0 : 1;
    return n + split;
  }
  for (const float x : logits.first(split)) n += x + offset >= score ? 1 : 0;
  for (const float x : logits.subspan(behind)) n += x + offset > score ? 1 : 0;
  return n;
}

/// What ranks_of compares: whole rows of logits, and what makes log-probabilities of them.
struct LogitRows {
  MatrixView logits;  // [rows, V]; undefined where a band was not scored
  std::size_t n_bands;
  std::vector<float> offsets;        // [rows, bands]
  std::vector<std::uint8_t> scored;  // [rows, bands]: 1 where there are logits
  float offset(std::size_t row, std::size_t band) const { return offsets[row * n_bands + band]; }
  bool has(std::size_t row, std::size_t band) const { return scored[row * n_bands + band] != 0; }
};

/// The logits of rows first_row, ..., which `queries` are about, without the bands that hold nothing above a row's queries.
LogitRows logits_for_ranks(const OutputVocabulary& vocabulary, ConstMatrixView hidden, std::size_t first_row,
                           std::span<const TargetQuery> queries, MatrixView logits) {
  LogitRows found{.logits = logits,
                  .n_bands = vocabulary.bands().size(),
                  .offsets = std::vector<float>(hidden.rows * vocabulary.bands().size()),
                  .scored = std::vector<std::uint8_t>(hidden.rows * vocabulary.bands().size(), 0)};
  std::vector<float> lowest(hidden.rows);  // of a row's queries; -inf where one is in another band, or NaN
  const auto find_lowest = [&] {
    std::ranges::fill(lowest, std::numeric_limits<float>::max());
    for (const TargetQuery& query : queries) {
      const std::size_t row = query.row - first_row;
      const bool in_head = vocabulary.band_of(query.token) == 0;
      const float logit = in_head ? found.logits.row(row)[static_cast<std::size_t>(query.token)] : -INFINITY;
      lowest[row] = std::isnan(logit) ? -INFINITY : std::min(lowest[row], logit);
    }
  };
  vocabulary.walk(hidden,
                  {.block =
                       [&](const LogitBlock& block) {
                         for (std::size_t r = 0; r < block.rows.size(); ++r) {
                           std::ranges::copy(block.logits.row(r), found.logits.row_data(block.rows[r]) + block.first_word);
                         }
                       },
                   .band_end =
                       [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                         for (std::size_t r = 0; r < rows.size(); ++r) {
                           found.offsets[rows[r] * found.n_bands + band] = offsets[r];
                           found.scored[rows[r] * found.n_bands + band] = 1;
                         }
                         if (band == 0) find_lowest();
                       },
                   .wants = [&](std::size_t row, std::size_t, float entry) { return !is_surely_below(entry, lowest[row]); }});
  return found;
}

}  // namespace

TargetRanks OutputHead::ranks_of(ConstMatrixView hidden, std::span<const TargetQuery> queries) const {
  check_width("hidden", hidden, hidden_width_);
  check_queries(queries, hidden.rows, vocab_size());
  TargetRanks result{.log_probabilities = std::vector<float>(queries.size()),
                     .ranks = std::vector<std::uint32_t>(queries.size())};
  const std::size_t rows_at_once = std::min(std::clamp<std::size_t>(kHeldLogits / vocab_size(), 1, kRowBlock), hidden.rows);
  const AlignedBuffer logits(rows_at_once * vocab_size());
  for (std::size_t begin = 0, end = 0; begin < queries.size(); begin = end) {
    const std::size_t first_row = queries[begin].row;
    const std::size_t last_row = std::min(first_row + rows_at_once, hidden.rows);
    end = begin + static_cast<std::size_t>(std::ranges::lower_bound(queries.subspan(begin), last_row, {}, &TargetQuery::row) -
                                           queries.subspan(begin).begin());
    const LogitRows rows =
        logits_for_ranks(*vocabulary_, hidden.rows_between(first_row, last_row), first_row, queries.subspan(begin, end - begin),
                         logits.matrix(last_row - first_row, vocab_size()));
    parallel_tasks(end - begin, vocab_size(), [&](std::size_t i) {
      const std::size_t q = begin + i;
      const std::size_t row = queries[q].row - first_row;
      const std::size_t own = vocabulary_->band_of(queries[q].token);
      const auto target = static_cast<std::size_t>(queries[q].token);
      const float logit = rows.logits.row(row)[target];
      result.log_probabilities[q] = logit + rows.offset(row, own);
      std::size_t rank = 0;
      for (std::size_t b = 0; b < rows.n_bands; ++b) {
        if (!rows.has(row, b)) continue;
        const VocabularyBand& band = vocabulary_->bands()[b];
        const auto words = rows.logits.row(row).subspan(band.begin(), band.end() - band.begin());
        // Within a band the logits themselves decide: an offset may round two of them to the same number.
        rank += b == own ? count_before(words, band.begin(), target, 0.0F, logit)
                         : count_before(words, band.begin(), target, rows.offset(row, b), result.log_probabilities[q]);
      }
      result.ranks[q] = static_cast<std::uint32_t>(rank);
    });
  }
  return result;
}

}  // namespace ffmem
