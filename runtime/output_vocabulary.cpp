#include "runtime/output_vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "loaders/resident_pages.hpp"

namespace ffmem {
namespace {

/// log(exp(a) + exp(b)), also where one of them is -inf; NaN, which std::max may pass over, where one is NaN.
double log_add(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
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

  /// Adds the logits of further words to their rows' sums; `largest` is then of these words.
  void add_to_sums(const Backend& backend, ConstMatrixView logits_of_words) {
    backend.log_sum_exp(logits_of_words, block_sum.data(), largest.data());
    for (std::size_t r = 0; r < logits_of_words.rows; ++r) {
      band_sum[r] = log_add(band_sum[r], static_cast<double>(block_sum[r]));
    }
  }

  /// The rows of a chunk from first_row on that band b is walked for; their entries tell what may come of it.
  void choose_rows(const VocabularyVisitor& visitor, ConstMatrixView chunk_entries, std::size_t first_row, std::size_t b) {
    rows.clear();
    for (std::size_t r = 0; r < chunk_entries.rows; ++r) {
      if (b == 0 || !visitor.wants || visitor.wants(first_row + r, b, chunk_entries.row(r)[b - 1]))
        rows.push_back(first_row + r);
    }
  }

  /// offsets[i]: what makes row rows[i]'s logits of band b log-probabilities.
  void fill_offsets(ConstMatrixView chunk_entries, std::size_t first_row, std::size_t b) {
    if (b == 0) head_sum = band_sum;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t r = rows[i] - first_row;
      const double entry = b == 0 ? 0.0 : static_cast<double>(chunk_entries.row(r)[b - 1]) - head_sum[r];
      offsets[i] = static_cast<float>(entry - band_sum[i]);
    }
  }
};

}  // namespace

const OutputVocabulary::Matrices& OutputVocabulary::matrices() const {
  std::call_once(made_ready_, [this] {
    Matrices made;  // kept only whole: after an error the next caller begins anew
    if (weights_.bands.empty()) made.bands.push_back(make_band(weights_.head.matrix, 0, weights_.head.bias));
    std::size_t first_word = 0;
    for (const AdaptiveBand& stored : weights_.bands) {
      VocabularyBand band = make_band(stored.out_table.empty() ? stored.table : stored.out_table, first_word, {});
      if (!stored.out_projection.empty()) band.projection = backend_.prepare(stored.out_projection, format_);
      first_word += stored.table.rows;
      made.bands.push_back(std::move(band));
    }
    if (!weights_.bands.empty()) made.clusters = backend_.prepare(weights_.band_head, format_);
    matrices_ = std::move(made);
    owned_bytes_ = matrices_.owned_bytes();
  });
  return matrices_;
}

VocabularyBand OutputVocabulary::make_band(const WeightMatrix& table, std::size_t first_word,
                                           const std::vector<float>& bias) const {
  VocabularyBand band;
  for (std::size_t begin = 0; begin < table.rows; begin += OutputHead::kVocabularyBlock) {
    const std::size_t n = std::min(OutputHead::kVocabularyBlock, table.rows - begin);
    band.blocks.push_back({.first = first_word + begin,
                           .n = n,
                           .matrix = backend_.prepare(table.row_slice(begin, n), format_),
                           .bias = bias.empty() ? nullptr : bias.data() + begin});
    release_if_copied(weights_, table.row_slice(begin, n), *band.blocks.back().matrix);
  }
  return band;
}

std::size_t OutputVocabulary::Matrices::owned_bytes() const noexcept {
  const auto owned = [](const std::unique_ptr<const PreparedMatrix>& m) { return m ? m->owned_bytes() : 0; };
  std::size_t bytes = owned(clusters);
  for (const VocabularyBand& band : bands) {
    bytes += owned(band.projection);
    for (const VocabularyBlock& block : band.blocks) bytes += owned(block.matrix);
  }
  return bytes;
}

std::size_t OutputVocabulary::band_of(TokenId token) const {
  const auto begins_behind = [&](const VocabularyBand& band) { return band.begin() > static_cast<std::size_t>(token); };
  return static_cast<std::size_t>(std::ranges::find_if(bands(), begins_behind) - bands().begin()) - 1;
}

void OutputVocabulary::walk(ConstMatrixView hidden, const VocabularyVisitor& visitor) const {
  const std::size_t chunk_rows = std::min(OutputHead::kRowBlock, hidden.rows);
  const std::size_t n_entries = bands().size() - 1;
  static thread_local WalkBuffers w;
  w.make_room(chunk_rows);
  if (!visitor.room) w.logits.make_room(chunk_rows * OutputHead::kVocabularyBlock);
  if (n_entries > 0) {
    w.entries.make_room(chunk_rows * n_entries);
    w.wanted.make_room(chunk_rows * hidden.cols);
    w.projected.make_room(chunk_rows * hidden.cols);
  }
  for (std::size_t first_row = 0; first_row < hidden.rows; first_row += chunk_rows) {
    const ConstMatrixView chunk = hidden.rows_between(first_row, std::min(first_row + chunk_rows, hidden.rows));
    const MatrixView entries = w.entries.matrix(chunk.rows, n_entries);
    if (n_entries > 0) backend_.matmul(chunk, *matrices().clusters, nullptr, entries);
    for (std::size_t b = 0; b < bands().size(); ++b) {
      w.choose_rows(visitor, entries, first_row, b);
      if (w.rows.empty()) continue;
      const ConstMatrixView input = band_input(bands()[b], hidden, w.rows, w.wanted, w.projected);
      std::fill(w.band_sum.begin(), w.band_sum.end(), -INFINITY);
      for (const VocabularyBlock& block : bands()[b].blocks) {
        const MatrixView logits = visitor.room ? visitor.room(w.rows, block) : w.logits.matrix(w.rows.size(), block.n);
        backend_.matmul(input, *block.matrix, block.bias, logits);
        if (config_.final_softcap > 0.0F) backend_.softcap(logits, config_.final_softcap);
        w.add_to_sums(backend_, logits);
        visitor.block({.rows = w.rows,
                       .band = b,
                       .first_word = block.first,
                       .words_before = block.first - bands()[b].begin(),
                       .logits = logits,
                       .largest = w.largest.data()});
      }
      if (b == 0 && n_entries > 0) w.add_to_sums(backend_, entries);
      w.fill_offsets(entries, first_row, b);
      visitor.band_end(w.rows, b, std::span(w.offsets).first(w.rows.size()));
    }
  }
}

/// What a band's matrices read for some of the rows: those rows themselves, copied only where others lie between them, or their
/// projection.
ConstMatrixView OutputVocabulary::band_input(const VocabularyBand& band, ConstMatrixView hidden,
                                             std::span<const std::size_t> rows, const AlignedBuffer& gathered,
                                             const AlignedBuffer& projected) const {
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

void OutputVocabulary::walk_for_targets(ConstMatrixView hidden, std::span<const TokenId> targets, float* out,
                                        const VocabularyVisitor& other) const {
  if (targets.empty()) return walk(hidden, other);
  const auto target = [&](std::size_t row) { return static_cast<std::size_t>(targets[row]); };
  const auto in_band = [&](std::size_t row, std::size_t band) {
    return target(row) >= bands()[band].begin() && target(row) < bands()[band].end();
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

void OutputVocabulary::walk_scores(ConstMatrixView hidden,
                                   const std::function<void(const ScoreBlock&, ConstMatrixView)>& visit) const {
  const AlignedBuffer scores_buffer(hidden.rows * OutputHead::kVocabularyBlock);
  const AlignedBuffer band_buffer(bands().size() > 1 ? hidden.rows * hidden.cols : 0);
  for (std::size_t b = 0; b < bands().size(); ++b) {
    const VocabularyBand& band = bands()[b];
    ConstMatrixView input = hidden;
    if (band.projection) {
      const MatrixView projected = band_buffer.matrix(hidden.rows, band.projection->rows());
      backend_.matmul(hidden, *band.projection, nullptr, projected);
      input = projected;
    }
    for (const VocabularyBlock& block : band.blocks) {
      const MatrixView scores = scores_buffer.matrix(hidden.rows, block.n);
      backend_.matmul(input, *block.matrix, nullptr, scores);
      visit({.band = b, .first_word = block.first, .entries = false, .bias = block.bias}, scores);
    }
    if (b == 0 && matrices().clusters) {
      const MatrixView scores = scores_buffer.matrix(hidden.rows, matrices().clusters->rows());
      backend_.matmul(hidden, *matrices().clusters, nullptr, scores);
      visit({.band = 0, .first_word = 0, .entries = true, .bias = nullptr}, scores);
    }
  }
}

}  // namespace ffmem
