// OutputHead::ranks_of: where one token a row stands among all.
#include <algorithm>
#include <cmath>

#include "ops/aligned_buffer.hpp"
#include "runtime/output_head.hpp"

namespace ffmem {
namespace {

/// How many words of a block, words first_word .. first_word + logits.size() - 1, come before the target: x + offset above its
/// score, or equal to it with a smaller id.
std::size_t count_before(std::span<const float> logits, std::size_t first_word, std::size_t target, float offset, float score) {
  const std::size_t split = std::clamp(target, first_word, first_word + logits.size()) - first_word;
  const std::size_t behind = split + (target >= first_word && target < first_word + logits.size() ? 1 : 0);
  std::size_t n = 0;
  for (const float x : logits.first(split)) n += x + offset >= score ? 1 : 0;
  for (const float x : logits.subspan(behind)) n += x + offset > score ? 1 : 0;
  return n;
}

}  // namespace

std::size_t OutputHead::band_of(TokenId token) const {
  const auto begins_behind = [&](const Band& band) { return band.blocks.front().first > static_cast<std::size_t>(token); };
  return static_cast<std::size_t>(std::ranges::find_if(bands(), begins_behind) - bands().begin()) - 1;
}

/// One softmax: each row's target alone, through the block it lies in. A row's logits have the same bits in any batch.
void OutputHead::gather_target_logits(ConstMatrixView hidden, std::span<const TokenId> targets,
                                      std::vector<float>& logits) const {
  const std::size_t chunk_rows = std::min(kRowBlock, hidden.rows);
  const AlignedBuffer input(chunk_rows * hidden.cols);
  const AlignedBuffer output(chunk_rows * kVocabularyBlock);
  for (const Block& block : bands().front().blocks) {
    std::vector<std::size_t> rows;
    const auto run = [&] {
      const MatrixView in = input.matrix(rows.size(), hidden.cols);
      const MatrixView out = output.matrix(rows.size(), block.n);
      for (std::size_t i = 0; i < rows.size(); ++i) std::ranges::copy(hidden.row(rows[i]), in.row_data(i));
      block_logits(block, in, out);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        logits[rows[i]] = out.row(i)[static_cast<std::size_t>(targets[rows[i]]) - block.first];
      }
      rows.clear();
    };
    for (std::size_t r = 0; r < hidden.rows; ++r) {
      const auto target = static_cast<std::size_t>(targets[r]);
      if (target < block.first || target >= block.first + block.n) continue;
      rows.push_back(r);
      if (rows.size() == chunk_rows) run();
    }
    if (!rows.empty()) run();
  }
}

OutputHead::TargetLogits OutputHead::target_logits(ConstMatrixView hidden, std::span<const TokenId> targets) const {
  TargetLogits found{.band = std::vector<std::size_t>(hidden.rows), .logit = std::vector<float>(hidden.rows), .offset = {}};
  std::ranges::transform(targets, found.band.begin(), [&](TokenId token) { return band_of(token); });
  if (has_logits()) {
    gather_target_logits(hidden, targets, found.logit);
    return found;
  }
  found.offset.resize(bands().size() * hidden.rows);
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      for (std::size_t r = 0; r < block.rows.size(); ++r) {
                        const auto target = static_cast<std::size_t>(targets[block.rows[r]]);
                        if (target < block.first_word || target >= block.first_word + block.logits.cols) continue;
                        found.logit[block.rows[r]] = block.logits.row(r)[target - block.first_word];
                      }
                    },
                .band_end =
                    [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                      std::ranges::copy(offsets, found.offset.data() + band * hidden.rows + rows.front());
                    }});
  return found;
}

TargetRanks OutputHead::ranks_of(ConstMatrixView hidden, std::span<const TokenId> targets) const {
  const TargetLogits known = target_logits(hidden, targets);
  const auto offset = [&](std::size_t band, std::size_t row) { return known.offset[band * hidden.rows + row]; };
  TargetRanks result{.log_probabilities = std::vector<float>(hidden.rows), .ranks = std::vector<std::uint32_t>(hidden.rows)};
  walk(hidden, {.block =
                    [&](const LogitBlock& block) {
                      for (std::size_t r = 0; r < block.rows.size(); ++r) {
                        const std::size_t row = block.rows[r];
                        const std::size_t own = known.band[row];
                        const auto target = static_cast<std::size_t>(targets[row]);
                        const std::size_t n =
                            block.band == own
                                ? count_before(block.logits.row(r), block.first_word, target, 0.0F, known.logit[row])
                                : count_before(block.logits.row(r), block.first_word, target, offset(block.band, row),
                                               known.logit[row] + offset(own, row));
                        result.ranks[row] += static_cast<std::uint32_t>(n);
                      }
                    },
                .band_end =
                    [&](std::span<const std::size_t> rows, std::size_t band, std::span<const float> offsets) {
                      for (std::size_t r = 0; r < rows.size(); ++r) {
                        if (known.band[rows[r]] != band) continue;
                        result.log_probabilities[rows[r]] = known.logit[rows[r]] + offsets[r];
                      }
                    }});
  return result;
}

}  // namespace ffmem
