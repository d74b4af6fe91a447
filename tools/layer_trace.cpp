#include "tools/layer_trace.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "ops/aligned_buffer.hpp"
#include "tools/l2_norm.hpp"

namespace ffmem::tools {
namespace {

constexpr std::array kStreamPoints{Point::residual_mid, Point::ffn_out, Point::residual_post};

/// Keeps one position's row of the points a trace shows.
class PositionRows : public Hook {
 public:
  explicit PositionRows(std::size_t position) : position_(position) {}

  Access access(Point point, std::size_t /*layer*/) const override {
    const bool wanted = point == Point::coefficients || std::ranges::find(kStreamPoints, point) != kStreamPoints.end();
    return wanted ? Access::read : Access::none;
  }

  void read(const PointView& view) override {
    for (std::size_t r = 0; r < view.values.rows; ++r) {
      if (view.origins[r].position != position_) continue;
      const std::span<const float> row = view.values.row(r);
      rows_[{view.point, view.layer}].assign(row.begin(), row.end());
    }
  }

  const std::vector<float>& at(Point point, std::size_t layer) const { return rows_.at({point, layer}); }

 private:
  std::size_t position_;
  std::map<std::pair<Point, std::size_t>, std::vector<float>> rows_;
};

std::vector<Prediction> predictions(const TopTokens& top, std::size_t row) {
  std::vector<Prediction> result(top.k);
  for (std::size_t i = 0; i < top.k; ++i) {
    const std::size_t at = row * top.k + i;
    result[i] = {top.tokens[at], std::exp(static_cast<double>(top.log_probabilities[at]))};
  }
  return result;
}

/// The k best tokens of each row of `vectors`, [n, d] end to end, under the lens.
TopTokens top_tokens(const Model& model, std::vector<float>& vectors, Lens lens, std::size_t k) {
  const std::size_t n = vectors.size() / model.config().d_model;
  AlignedBuffer hidden(n * model.head().hidden_width());
  const MatrixView rows = hidden.matrix(n, model.head().hidden_width());
  model.head().to_hidden(ConstMatrixView(vectors.data(), n, model.config().d_model), lens, rows);
  return model.head().top_tokens(rows, std::min(k, model.head().vocab_size()));
}

/// The n memories with the largest |m| |v|, without their tokens; appends m's sign times v to `vectors` for each.
std::vector<TracedMemory> strongest_memories(const Model& model, std::size_t layer, std::span<const float> coefficients,
                                             std::size_t n, std::vector<float>& vectors) {
  std::vector<TracedMemory> memories;
  std::vector<float> value(model.config().d_model);
  for (std::size_t unit = 0; unit < coefficients.size(); ++unit) {
    const float m = coefficients[unit];
    if (m == 0.0F || std::isnan(m)) continue;
    model.value_row(layer, unit, value.data());
    memories.push_back({unit, m, std::abs(static_cast<double>(m)) * l2_norm(value), {}});
  }
  n = std::min(n, memories.size());
  std::partial_sort(memories.begin(), memories.begin() + static_cast<std::ptrdiff_t>(n), memories.end(),
                    [](const TracedMemory& a, const TracedMemory& b) {
                      return a.strength > b.strength || (a.strength == b.strength && a.unit < b.unit);
                    });
  memories.resize(n);
  for (const TracedMemory& memory : memories) {
    model.value_row(layer, memory.unit, value.data());
    const float sign = memory.coefficient < 0.0F ? -1.0F : 1.0F;
    for (const float v : value) vectors.push_back(sign * v);
  }
  return memories;
}

/// The model's own k best next tokens from its logits (or log-probabilities), [1, V].
std::vector<Prediction> own_predictions(const Model& model, ConstMatrixView logits, std::size_t k) {
  k = std::min(k, logits.cols);
  std::vector<std::uint32_t> tokens(k);
  std::vector<float> values(k);
  float log_sum = 0.0F;
  model.backend().top_k(logits, k, tokens.data(), values.data());
  model.backend().log_sum_exp(logits, &log_sum);
  std::vector<Prediction> result(k);
  for (std::size_t i = 0; i < k; ++i) {
    result[i] = {static_cast<TokenId>(tokens[i]), std::exp(static_cast<double>(values[i]) - static_cast<double>(log_sum))};
  }
  return result;
}

}  // namespace

Trace trace(const std::shared_ptr<const Model>& model, std::span<const TokenId> tokens, const TraceOptions& options,
            std::span<Hook* const> interventions) {
  PositionRows rows(tokens.size() - 1);
  std::vector<Hook*> hooks(interventions.begin(), interventions.end());
  hooks.push_back(&rows);
  Session session(model, {.context = tokens.size(), .keep_cache = false, .n_threads = options.n_threads});
  const ConstMatrixView logits = session.run(tokens, LogitsRows::last, hooks);

  Trace result;
  result.model = own_predictions(*model, logits, options.n_tokens);
  std::vector<float> streams;  // [L * 3, d]
  std::vector<float> values;   // [memories of all layers, d]
  for (std::size_t layer = 0; layer < model->config().n_layers; ++layer) {
    for (const Point point : kStreamPoints)
      streams.insert(streams.end(), rows.at(point, layer).begin(), rows.at(point, layer).end());
    TracedLayer& traced = result.layers.emplace_back();
    traced.memories = strongest_memories(*model, layer, rows.at(Point::coefficients, layer), options.n_memories, values);
  }
  const TopTokens stream_tokens = top_tokens(*model, streams, options.lens, 1);
  const TopTokens value_tokens = top_tokens(*model, values, options.lens, options.n_tokens);
  std::size_t stream_row = 0;
  std::size_t value_row = 0;
  for (TracedLayer& layer : result.layers) {
    for (Prediction* p : {&layer.residual_mid, &layer.ffn_out, &layer.residual_post}) {
      *p = predictions(stream_tokens, stream_row++).front();
    }
    for (TracedMemory& memory : layer.memories) memory.tokens = predictions(value_tokens, value_row++);
  }
  return result;
}

}  // namespace ffmem::tools
