#include "tools/experiments/value_predictions.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/aligned_buffer.hpp"
#include "tools/interrupt.hpp"

namespace ffmem::tools {
namespace {

constexpr TokenId kDepends = -1;

/// Differences of log-probabilities below this, relative to their size, are not trusted: such memories are scored directly.
constexpr double kMargin = 1e-4;

/// Hidden vectors of factor * v for the given units of a layer.
class ScaledValues {
 public:
  ScaledValues(const Model& model, Lens lens, std::size_t n)
      : model_(model),
        lens_(lens),
        rows_(n * model.config().d_model),
        hidden_(n * model.head().hidden_width()),
        values_(rows_.matrix(n, model.config().d_model)),
        hidden_rows_(hidden_.matrix(n, model.head().hidden_width())) {}

  void set(std::size_t row, std::size_t layer, std::size_t unit, float factor) {
    model_.value_row(layer, unit, values_.row_data(row));
    for (float& x : values_.row(row)) x *= factor;
  }

  ConstMatrixView hidden(std::size_t n) {
    const MatrixView result = hidden_rows_.rows_between(0, n);
    model_.head().to_hidden(values_.rows_between(0, n), lens_, result);
    return result;
  }

 private:
  const Model& model_;
  Lens lens_;
  AlignedBuffer rows_;
  AlignedBuffer hidden_;
  MatrixView values_;
  MatrixView hidden_rows_;
};

std::vector<TokenId> best_tokens(const ValueTable& values) {
  std::vector<TokenId> best;
  for (std::size_t i = 0; i < values.tokens.size(); i += values.k) best.push_back(values.tokens[i]);
  return best;
}

/// Where a band's score above band 0's best word lies at scale m > 0: m slope + g(m), g as the header says.
struct Range {
  double low = 0.0;
  double high = 0.0;
};
Range score_range(double slope, double g_at_one, double log_size, double m) {
  // The chord from 0 to 1 lies below a concave g up to 1 and above it from there on.
  const double chord = -log_size + m * (g_at_one + log_size);
  return {.low = m * slope + (m <= 1.0 ? chord : g_at_one), .high = m * slope + std::min(0.0, m <= 1.0 ? g_at_one : chord)};
}

}  // namespace

bool ValuePredictions::scores_weighted(const Model& model, Lens lens) noexcept {
  const ModelWeights& weights = model.weights();
  const bool has_norm = lens == Lens::final_norm && weights.final_norm.present;
  return !has_norm && weights.head.bias.empty() && weights.head_projection.bias.empty();
}

ValuePredictions::ValuePredictions(Workbench& bench)
    : model_(bench.model()), d_memory_(bench.d_memory()), lens_(bench.options().value_lens) {
  bare_ = best_tokens(bench.values(ValueSign::plus));
  signs_.push_back({.factor = 1.0F, .tokens = bare_, .scaled = {}});
  if (has_negative_coefficients(model_->config())) {
    signs_.push_back({.factor = -1.0F, .tokens = best_tokens(bench.values(ValueSign::minus)), .scaled = {}});
  }
  if (model_->head().has_logits() || !scores_weighted(*model_, lens_)) return;
  for (const AdaptiveBand& band : model_->weights().bands) log_sizes_.push_back(std::log(static_cast<double>(band.table.rows)));
  for (Sign& sign : signs_) score_bands(sign);
}

/// Units of the layer whose best word may depend on |m|: all but those whose best word, of band 0, beats every band's entry,
/// which a few products of d numbers show.
std::vector<std::size_t> ValuePredictions::undecided(const Sign& sign, std::size_t layer) const {
  const ModelWeights& weights = model_->weights();
  const WeightMatrix& entries = weights.band_head;
  const WeightMatrix& words = weights.bands[0].out_table.empty() ? weights.bands[0].table : weights.bands[0].out_table;
  const std::size_t d = model_->config().d_model;
  std::vector<float> value(d), word(d), entry(entries.rows * d);
  for (std::size_t b = 0; b < entries.rows; ++b) read_row(entries, b, entry.data() + b * d);
  const auto product = [&](const float* row) {
    return static_cast<double>(sign.factor) * std::inner_product(value.begin(), value.end(), row, 0.0);
  };
  std::vector<std::size_t> units;
  for (std::size_t unit = 0; unit < d_memory_; ++unit) {
    const auto best = static_cast<std::size_t>(sign.tokens[layer * d_memory_ + unit]);
    bool sure = best < words.rows;
    if (sure) {
      model_->value_row(layer, unit, value.data());
      read_row(words, best, word.data());
      const double score = product(word.data());
      const double margin = kMargin * (1.0 + std::abs(score));
      for (std::size_t b = 0; b < entries.rows; ++b) sure = sure && product(entry.data() + b * d) < score - margin;
    }
    if (!sure) units.push_back(unit);
  }
  return units;
}

/// Finds the memories whose best word depends on |m|.
void ValuePredictions::score_bands(Sign& sign) const {
  const std::size_t n_bands = log_sizes_.size();
  sign.scaled.resize(model_->config().n_layers);
  ScaledValues values(*model_, lens_, OutputHead::kRowBlock);
  for (std::size_t layer = 0; layer < sign.scaled.size(); ++layer) {
    const std::vector<std::size_t> units = undecided(sign, layer);
    for (std::size_t begin = 0; begin < units.size(); begin += OutputHead::kRowBlock) {
      throw_if_interrupted();
      const std::size_t n = std::min(OutputHead::kRowBlock, units.size() - begin);
      for (std::size_t i = 0; i < n; ++i) values.set(i, layer, units[begin + i], sign.factor);
      const BandTops tops = model_->head().band_tops(values.hidden(n));
      for (std::size_t i = 0; i < n; ++i) {
        const auto best = std::span(tops.log_probabilities).subspan(i * n_bands, n_bands);
        const auto entries = std::span(tops.entry_log_probabilities).subspan(i * n_bands, n_bands);
        sign.tokens[layer * d_memory_ + units[begin + i]] = kDepends;
        Scaled& scaled = sign.scaled[layer];
        scaled.units.push_back(units[begin + i]);
        for (std::size_t b = 0; b < n_bands; ++b) {
          scaled.tokens.push_back(tops.tokens[i * n_bands + b]);
          scaled.slopes.push_back(b == 0 ? 0.0 : static_cast<double>(entries[b]) - static_cast<double>(best[0]));
          scaled.at_one.push_back(b == 0 ? 0.0 : static_cast<double>(best[b]) - static_cast<double>(entries[b]));
        }
      }
    }
  }
}

std::size_t ValuePredictions::count_bare(std::size_t layer, TokenId token) const {
  const auto tokens = std::span(bare_).subspan(layer * d_memory_, d_memory_);
  return static_cast<std::size_t>(std::ranges::count(tokens, token));
}

ValuePredictions::Verdict ValuePredictions::judge(const Scaled& scaled, std::size_t index, double scale, TokenId token) const {
  const std::size_t n_bands = log_sizes_.size();
  const auto tokens = std::span(scaled.tokens).subspan(index * n_bands, n_bands);
  const auto found = std::ranges::find(tokens, token);
  if (found == tokens.end()) return Verdict::no;
  const auto mine = static_cast<std::size_t>(found - tokens.begin());
  const auto range = [&](std::size_t b) {
    if (b == 0) return Range{};
    return score_range(scaled.slopes[index * n_bands + b], scaled.at_one[index * n_bands + b], log_sizes_[b], scale);
  };
  const Range own = range(mine);
  Verdict verdict = Verdict::yes;
  for (std::size_t b = 0; b < n_bands; ++b) {
    if (b == mine) continue;
    const Range other = range(b);
    const double steepness = std::abs(scaled.slopes[index * n_bands + b]) + std::abs(scaled.slopes[index * n_bands + mine]);
    const double margin = kMargin * (1.0 + scale * steepness);
    if (other.low > own.high + margin) return Verdict::no;
    if (!(own.low > other.high + margin)) verdict = Verdict::open;
  }
  return verdict;
}

std::size_t ValuePredictions::count_weighted(std::size_t layer, std::span<const float> coefficients, TokenId token,
                                             std::size_t row, std::vector<Open>& open) const {
  std::size_t n = 0;
  for (const Sign& sign : signs_) {
    const TokenId* tokens = sign.tokens.data() + layer * d_memory_;
    for (std::size_t i = 0; i < d_memory_; ++i) n += tokens[i] == token && sign.factor * coefficients[i] > 0.0F ? 1 : 0;
    if (sign.scaled.empty()) continue;
    const Scaled& scaled = sign.scaled[layer];
    for (std::size_t k = 0; k < scaled.units.size(); ++k) {
      const float m = coefficients[scaled.units[k]];
      if (!(sign.factor * m > 0.0F)) continue;
      const Verdict verdict = judge(scaled, k, std::abs(static_cast<double>(m)), token);
      n += verdict == Verdict::yes ? 1 : 0;
      if (verdict == Verdict::open) open.push_back({row, layer, scaled.units[k], m, token});
    }
  }
  return n;
}

std::vector<bool> ValuePredictions::decide(std::span<const Open> open) const {
  std::vector<bool> agrees;
  ScaledValues values(*model_, lens_, std::min(OutputHead::kRowBlock, open.size()));
  for (std::size_t begin = 0; begin < open.size(); begin += OutputHead::kRowBlock) {
    const std::size_t n = std::min(OutputHead::kRowBlock, open.size() - begin);
    for (std::size_t i = 0; i < n; ++i) values.set(i, open[begin + i].layer, open[begin + i].unit, open[begin + i].coefficient);
    const TopTokens top = model_->head().top_tokens(values.hidden(n), 1);
    for (std::size_t i = 0; i < n; ++i) agrees.push_back(top.tokens[i] == open[begin + i].token);
  }
  return agrees;
}

}  // namespace ffmem::tools
