// OutputHead's walks over the vocabulary, block by block.
#include <algorithm>
#include <cmath>

#include "ops/aligned_buffer.hpp"
#include "runtime/output_head.hpp"
#include "runtime/output_head_arguments.hpp"

namespace ffmem {
namespace {

/// log(exp(a) + exp(b)), also where one of them is -inf.
double log_add(double a, double b) {
  const double high = std::max(a, b);
  return std::isinf(high) ? high : high + std::log1p(std::exp(std::min(a, b) - high));
}

/// What a walk works in, kept for the thread's next one; a walk begins no other.
struct WalkBuffers {
  AlignedBuffer logits;           // [rows, words of a block], where the visitor has no room of its own
  AlignedBuffer entries;          // [rows, bands - 1]: their logits in band 0
  AlignedBuffer wanted;           // [rows, hidden width]
  AlignedBuffer projected;        // [rows, hidden width]
  std::vector<std::size_t> rows;  // those of the chunk that a band is walked for
  std::vector<float> block_sum;   // [rows], as all that follow
  std::vector<float> largest;
  std::vector<double> band_sum;
  std::vector<double> head_sum;
  std::vector<float> offsets;

  void make_room(std::size_t n_rows) {
    for (std::vector<float>* sums : {&block_sum, &largest, &offsets}) sums->resize(n_rows);
    band_sum.resize(n_rows);
  }
};

}  // namespace

void OutputHead::walk(ConstMatrixView hidden, const Visitor& visitor) const {
  const std::size_t chunk_rows = std::min(kRowBlock, hidden.rows);
  const std::size_t n_entries = bands().size() - 1;
  static thread_local WalkBuffers buffers;
  auto& [logits_buffer, entries_buffer, wanted_buffer, band_buffer, rows, block_sum, largest, band_sum, head_sum, offsets] =
      buffers;
  buffers.make_room(chunk_rows);
  if (!visitor.room) logits_buffer.make_room(chunk_rows * kVocabularyBlock);
  if (n_entries > 0) {
    entries_buffer.make_room(chunk_rows * n_entries);
    wanted_buffer.make_room(chunk_rows * hidden_width_);
    band_buffer.make_room(chunk_rows * hidden_width_);
  }

  const auto add_to_sum = [&](ConstMatrixView logits) {
    backend_.log_sum_exp(logits, block_sum.data(), largest.data());
    for (std::size_t r = 0; r < logits.rows; ++r) band_sum[r] = log_add(band_sum[r], static_cast<double>(block_sum[r]));
  };
  for (std::size_t first_row = 0; first_row < hidden.rows; first_row += chunk_rows) {
    const ConstMatrixView chunk = hidden.rows_between(first_row, std::min(first_row + chunk_rows, hidden.rows));
    const MatrixView entries = entries_buffer.matrix(chunk.rows, n_entries);
    if (n_entries > 0) backend_.matmul(chunk, *vocabulary().clusters, nullptr, entries);
    for (std::size_t b = 0; b < bands().size(); ++b) {
      rows.clear();
      for (std::size_t r = 0; r < chunk.rows; ++r) {
        if (b == 0 || !visitor.wants || visitor.wants(first_row + r, b, entries.row(r)[b - 1])) rows.push_back(first_row + r);
      }
      if (rows.empty()) continue;
      const ConstMatrixView input = band_input(bands()[b], hidden, rows, wanted_buffer, band_buffer);
      std::fill(band_sum.begin(), band_sum.end(), -INFINITY);
      for (const Block& block : bands()[b].blocks) {
        const MatrixView logits = visitor.room ? visitor.room(rows, block) : logits_buffer.matrix(rows.size(), block.n);
        block_logits(block, input, logits);
        add_to_sum(logits);
        visitor.block({.rows = rows,
                       .band = b,
                       .first_word = block.first,
                       .words_before = block.first - band_begin(b),
                       .logits = logits,
                       .largest = largest.data()});
      }
      if (b == 0 && n_entries > 0) add_to_sum(entries);
      if (b == 0) head_sum = band_sum;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t r = rows[i] - first_row;
        const double entry = b == 0 ? 0.0 : static_cast<double>(entries.row(r)[b - 1]) - head_sum[r];
        offsets[i] = static_cast<float>(entry - band_sum[i]);
      }
      visitor.band_end(rows, b, std::span(offsets).first(rows.size()));
    }
  }
}

/// What a band's matrices read for some of the rows: those rows themselves, copied only where others lie between them, or their
/// projection.
ConstMatrixView OutputHead::band_input(const Band& band, ConstMatrixView hidden, std::span<const std::size_t> rows,
                                       const AlignedBuffer& gathered, const AlignedBuffer& projected) const {
  ConstMatrixView input = hidden.rows_between(rows.front(), rows.back() + 1);
  if (input.rows > rows.size()) {
    const MatrixView wanted = gathered.matrix(rows.size(), hidden.cols);
    for (std::size_t i = 0; i < rows.size(); ++i) std::ranges::copy(hidden.row(rows[i]), wanted.row_data(i));
    input = wanted;
  }
  if (!band.projection) return input;
  const MatrixView result = projected.matrix(rows.size(), band.projection->rows());
  backend_.matmul(input, *band.projection, nullptr, result);
  return result;
}

void OutputHead::log_probabilities_of(ConstMatrixView hidden, std::span<const TokenId> targets, float* out) const {
  check_width("hidden", hidden, hidden_width_);
  check_targets(targets, hidden.rows, vocab_size());
  walk_for_targets(hidden, targets, out,
                   {.block = [](const LogitBlock&) {},
                    .band_end = [](std::span<const std::size_t>, std::size_t, std::span<const float>) {},
                    .wants = [](std::size_t, std::size_t, float) { return false; }});
}

/// Shows everything to `other` and fills out[t] = log p(targets[t] | hidden[t]) on the way. No targets: out is not used.
void OutputHead::walk_for_targets(ConstMatrixView hidden, std::span<const TokenId> targets, float* out,
                                  const Visitor& other) const {
  if (targets.empty()) return walk(hidden, other);
  const auto target = [&](std::size_t row) { return static_cast<std::size_t>(targets[row]); };
  const auto in_band = [&](std::size_t row, std::size_t band) {
    return target(row) >= band_begin(band) && target(row) < band_end(band);
  };
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      other.block(block);
                      for (std::size_t r = 0; r < block.rows.size(); ++r) {
                        const std::size_t word = target(block.rows[r]);
                        if (word >= block.first_word && word - block.first_word < block.logits.cols) {
                          out[block.rows[r]] = block.logits.row(r)[word - block.first_word];
                        }
                      }
                    },
                .band_end =
                    [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                      other.band_end(rows, band, offsets);
                      for (std::size_t r = 0; r < rows.size(); ++r) {
                        if (in_band(rows[r], band)) out[rows[r]] += offsets[r];
                      }
                    },
                .wants = [&](std::size_t row, std::size_t band,
                             float entry) { return in_band(row, band) || other.wants(row, band, entry); }});
}

void OutputHead::walk_scores(ConstMatrixView hidden,
                             const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const {
  check_width("hidden", hidden, hidden_width_);
  const AlignedBuffer scores_buffer(hidden.rows * kVocabularyBlock);
  const AlignedBuffer band_buffer(bands().size() > 1 ? hidden.rows * hidden_width_ : 0);
  for (std::size_t b = 0; b < bands().size(); ++b) {
    const Band& band = bands()[b];
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
    if (b == 0 && vocabulary().clusters) {
      const MatrixView scores = scores_buffer.matrix(hidden.rows, vocabulary().clusters->rows());
      backend_.matmul(hidden, *vocabulary().clusters, nullptr, scores);
      visit({.band = 0, .first_word = 0, .entries = true, .bias = nullptr}, scores);
    }
  }
}

}  // namespace ffmem
