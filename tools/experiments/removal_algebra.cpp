#include "tools/experiments/removal_algebra.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tools/experiments/linear_head.hpp"
#include "tools/interrupt.hpp"
#include "tools/progress.hpp"

namespace ffmem::tools {
namespace {

/// Memories whose scores U are held at once, a block of words wide.
constexpr std::size_t kUnits = 1024;

/// A probability of nearly 1 that all but vanishes leaves too few digits: such a case is computed in another way.
constexpr double kSmallestSum = 0.01;  // of p e^delta

class Algebra {
 public:
  Algebra(const Workbench& bench, const RemovalInputs& inputs, std::span<Removal> removals)
      : bench_(bench),
        model_(*bench.model()),
        head_(model_.head()),
        norm_(model_),
        linear_(model_),
        inputs_(inputs),
        removals_(removals),
        n_examples_(inputs.output.size() / model_.config().d_model),
        n_bands_(std::max<std::size_t>(1, model_.weights().bands.size())) {}

  std::vector<std::size_t> run() {
    prepare_examples();
    Progress progress("memory effects", static_cast<double>(removals_.size()), "removals", bench_.options().quiet);
    std::vector<std::size_t> order(removals_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return removals_[i].unit; });
    std::size_t done = 0;
    for (std::size_t unit = 0; unit < model_.config().d_memory; unit += kUnits) {
      const std::size_t begin = done;
      while (done < order.size() && removals_[order[done]].unit < unit + kUnits) ++done;
      if (begin == done) continue;
      remove_units(unit, std::min(kUnits, model_.config().d_memory - unit), std::span(order).subspan(begin, done - begin));
      progress.update(static_cast<double>(done));
    }
    return left_;
  }

 private:
  /// H_o of every example, s, and the log-sum-exp of every softmax.
  void prepare_examples() {
    const std::size_t d = model_.config().d_model;
    centred_.resize(n_examples_ * d);
    const AlignedBuffer rows(std::max<std::size_t>(1, n_examples_) * d);
    const AlignedBuffer bias(d);
    for (std::size_t e = 0; e < n_examples_; ++e) {
      const std::span<double> z = std::span(centred_).subspan(e * d, d);
      norm_.centre({inputs_.output.data() + e * d, d}, z);
      squares_.push_back(mean_product(z, z));
      scale_.push_back(norm_.present() ? 1.0 / std::sqrt(squares_.back() + norm_.epsilon()) : 1.0);
      norm_.weigh(z, {rows.data() + e * d, d});
    }
    std::ranges::copy(norm_.bias(), bias.data());
    hidden_ = AlignedBuffer((n_examples_ + 1 + kUnits) * head_.hidden_width());
    linear_.apply(rows.matrix(n_examples_, d), false, hidden_rows(0, n_examples_));
    linear_.apply(bias.matrix(1, d), true, hidden_rows(n_examples_, 1));
    sum_examples();
  }

  void sum_examples() {
    sums_.assign(n_examples_ * n_bands_, -INFINITY);
    entry_logits_.assign(n_examples_ * n_bands_, 0.0F);
    std::vector<float> block_sums(n_examples_);
    AlignedBuffer buffer(n_examples_ * OutputHead::kVocabularyBlock);
    head_.walk_scores(hidden_rows(0, n_examples_ + 1), [&](const ScoreBlock& block, ConstMatrixView scores) {
      const MatrixView logits = buffer.matrix(n_examples_, scores.cols);
      old_logits(block, scores, logits);
      model_.backend().log_sum_exp(logits, block_sums.data());
      for (std::size_t e = 0; e < n_examples_; ++e) {
        double& sum = sums_[e * n_bands_ + block.band];
        const double high = std::max(sum, static_cast<double>(block_sums[e]));
        sum = high + std::log(std::exp(sum - high) + std::exp(static_cast<double>(block_sums[e]) - high));
        for (std::size_t b = 1; block.entries && b < n_bands_; ++b) entry_logits_[e * n_bands_ + b] = logits.row(e)[b - 1];
      }
    });
  }

  /// O / s + C + bias of every example. The scores' rows: examples, then the constant.
  void old_logits(const ScoreBlock& block, ConstMatrixView scores, MatrixView logits) const {
    const auto constant = scores.row(n_examples_);
    for (std::size_t e = 0; e < n_examples_; ++e) {
      const auto scale = static_cast<float>(scale_[e]);
      for (std::size_t w = 0; w < scores.cols; ++w) {
        logits.row(e)[w] = scale * scores.row(e)[w] + constant[w] + (block.bias ? block.bias[w] : 0.0F);
      }
    }
  }

  /// Everything about the memories [first, first + n), whose cases are `cases`.
  void remove_units(std::size_t first, std::size_t n, std::span<const std::size_t> cases) {
    prepare_units(first, n, cases);
    state_.assign(cases.size() * n_bands_, SoftmaxChange{});
    target_changes_.assign(cases.size(), 0.0F);
    entry_changes_.assign(cases.size() * n_bands_, 0.0F);
    AlignedBuffer logits_buffer(n_examples_ * OutputHead::kVocabularyBlock);
    AlignedBuffer p_buffer(n_examples_ * OutputHead::kVocabularyBlock);
    head_.walk_scores(hidden_rows(0, n_examples_ + 1 + n), [&](const ScoreBlock& block, ConstMatrixView scores) {
      throw_if_interrupted();
      const MatrixView logits = logits_buffer.matrix(n_examples_, scores.cols);
      const MatrixView p = p_buffer.matrix(n_examples_, scores.cols);
      old_logits(block, scores, logits);
#pragma omp parallel for schedule(static)
      for (std::size_t e = 0; e < n_examples_; ++e) {
        const auto sum = static_cast<float>(sums_[e * n_bands_ + block.band]);
        for (std::size_t w = 0; w < scores.cols; ++w) p.row(e)[w] = std::exp(logits.row(e)[w] - sum);
      }
#pragma omp parallel for schedule(dynamic, 64)
      for (std::size_t c = 0; c < cases.size(); ++c) change_block(block, scores, logits, p, first, c, removals_[cases[c]]);
    });
    for (std::size_t c = 0; c < cases.size(); ++c) {
      if (!finish(c, removals_[cases[c]])) left_.push_back(cases[c]);
    }
  }

  /// U's hidden rows, and each case's factors of O and U.
  void prepare_units(std::size_t first, std::size_t n, std::span<const std::size_t> cases) {
    const std::size_t d = model_.config().d_model;
    const AlignedBuffer rows(n * d);
    std::vector<double> u(n * d);
    std::vector<float> value(d);
    for (std::size_t i = 0; i < n; ++i) {
      model_.value_row(inputs_.layer, first + i, value.data());
      const std::span<double> centred = std::span(u).subspan(i * d, d);
      norm_.centre(value, centred);
      norm_.weigh(centred, {rows.data() + i * d, d});
    }
    linear_.apply(rows.matrix(n, d), false, hidden_rows(n_examples_ + 1, n));
    factors_.resize(cases.size());
    for (std::size_t c = 0; c < cases.size(); ++c) {
      const Removal& removal = removals_[cases[c]];
      const auto m = static_cast<double>(removal.coefficient);
      if (!norm_.present()) {
        factors_[c] = {0.0F, -removal.coefficient};
        continue;
      }
      const std::span<const double> unit = std::span(u).subspan((removal.unit - first) * d, d);
      const std::span<const double> z = std::span(centred_).subspan(removal.example * d, d);
      const double squares = squares_[removal.example] - 2.0 * m * mean_product(z, unit) + m * m * mean_product(unit, unit);
      const double scale = 1.0 / std::sqrt(std::max(squares, 0.0) + norm_.epsilon());
      factors_[c] = {static_cast<float>(scale - scale_[removal.example]), static_cast<float>(-m * scale)};
    }
  }

  void change_block(const ScoreBlock& block, ConstMatrixView scores, ConstMatrixView logits, ConstMatrixView p,
                    std::size_t first, std::size_t c, const Removal& removal) {
    const std::size_t e = removal.example;
    const auto [a, b] = factors_[c];
    const float* o = scores.row_data(e);
    const float* u = scores.row_data(n_examples_ + 1 + removal.unit - first);
    const auto delta = [&, a = a, b = b](std::size_t w) { return a * o[w] + b * u[w]; };
    SoftmaxChange& change = state_[c * n_bands_ + block.band];
    const SoftmaxChange before = change;
    model_.backend().softmax_change({.p = p.row_data(e),
                                     .logits = logits.row_data(e),
                                     .o = o,
                                     .u = u,
                                     .a = a,
                                     .b = b,
                                     .n = scores.cols,
                                     .first = block.first_word},
                                    change);
    if (block.entries) {  // no words: they compete for probability, not for the best place
      change.best = before.best;
      change.best_word = before.best_word;
      for (std::size_t band = 1; band < n_bands_; ++band) entry_changes_[c * n_bands_ + band] = delta(band - 1);
      return;
    }
    const auto target = static_cast<std::size_t>(inputs_.prediction[removal.example]);
    if (target >= block.first_word && target - block.first_word < scores.cols)
      target_changes_[c] = delta(target - block.first_word);
  }

  /// Puts a case's softmaxes together. False if it must be computed in another way.
  bool finish(std::size_t c, Removal& removal) const {
    const SoftmaxChange* states = state_.data() + c * n_bands_;
    const double* sums = sums_.data() + removal.example * n_bands_;
    const float* entries = entry_logits_.data() + removal.example * n_bands_;
    const float* entry_changes = entry_changes_.data() + c * n_bands_;
    double divergence = 0.0;
    double head_change = 0.0;
    auto log_p_change = static_cast<double>(target_changes_[c]);
    double best = -INFINITY;
    TokenId top_after = 0;
    for (std::size_t b = 0; b < n_bands_; ++b) {
      const SoftmaxChange& change = states[b];
      const double sum = change.linear + change.remainder;
      if (!(1.0 + sum > kSmallestSum) || !(change.largest < kLargestLogitChange)) return false;
      const double sum_change = std::log1p(sum);
      if (b == 0) head_change = sum_change;
      const double entry = b == 0 ? 0.0 : static_cast<double>(entries[b]) - sums[0];
      const double entry_change = b == 0 ? 0.0 : static_cast<double>(entry_changes[b]) - head_change;
      divergence += std::exp(entry) * (sum_change - change.linear);
      if (is_in_band(inputs_.prediction[removal.example], b)) log_p_change += entry_change - sum_change;
      const double score = entry + entry_change + static_cast<double>(change.best) - sums[b] - sum_change;
      if (score > best) {
        best = score;
        top_after = static_cast<TokenId>(change.best_word);
      }
    }
    removal.divergence = static_cast<float>(std::max(divergence, 0.0));
    removal.log_p_change = static_cast<float>(log_p_change);
    removal.top_after = top_after;
    return true;
  }

  bool is_in_band(TokenId token, std::size_t band) const {
    const auto& cutoffs = model_.config().adaptive_cutoffs;
    const auto word = static_cast<std::size_t>(token);
    return static_cast<std::size_t>(std::ranges::upper_bound(cutoffs, word) - cutoffs.begin()) == band;
  }

  static double mean_product(std::span<const double> a, std::span<const double> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0) / static_cast<double>(a.size());
  }

  MatrixView hidden_rows(std::size_t first, std::size_t n) const {
    const std::size_t width = head_.hidden_width();
    return {hidden_.data() + first * width, n, width};
  }

  const Workbench& bench_;
  const Model& model_;
  const OutputHead& head_;
  const FinalNorm norm_;
  const LinearHidden linear_;
  const RemovalInputs& inputs_;
  const std::span<Removal> removals_;
  const std::size_t n_examples_;
  const std::size_t n_bands_;

  std::vector<double> centred_;      // [examples, d]: z
  std::vector<double> squares_;      // [examples]: mean(z²)
  std::vector<double> scale_;        // [examples]: 1 / s
  AlignedBuffer hidden_;             // [examples + 1 + kUnits, hidden width]: of O, C, U
  std::vector<double> sums_;         // [examples, bands]: log-sum-exp
  std::vector<float> entry_logits_;  // [examples, bands], from band 1

  // Of the memories at hand.
  std::vector<std::pair<float, float>> factors_;  // [cases]: of O and U
  std::vector<SoftmaxChange> state_;              // [cases, bands]
  std::vector<float> target_changes_;             // [cases]: delta of the model's prediction
  std::vector<float> entry_changes_;              // [cases, bands]
  std::vector<std::size_t> left_;
};

}  // namespace

std::vector<std::size_t> removals_by_algebra(const Workbench& bench, const RemovalInputs& inputs, std::span<Removal> removals) {
  return Algebra(bench, inputs, removals).run();
}

}  // namespace ffmem::tools
