#include "tools/speed/pass_cost.hpp"

#include <algorithm>

namespace ffmem::tools {
namespace {

double size_of(const WeightMatrix& w) { return static_cast<double>(w.rows) * static_cast<double>(w.cols); }

/// Weights, and the bytes that they are read from.
struct Weights {
  double n = 0.0;
  double bytes = 0.0;

  void add(const WeightMatrix& w, WeightFormat format, double share = 1.0) {
    n += share * size_of(w);
    bytes += share * size_of(w) * bytes_per_weight(format, w.dtype);
  }
};

void add_layer(Weights& weights, const LayerWeights& layer, WeightFormat format, double active_share) {
  for (const LinearWeights* linear : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.keys, &layer.ups}) {
    weights.add(linear->matrix, format);
  }
  weights.add(layer.values, format, active_share);
}

Weights head_weights(const ModelWeights& stored, WeightFormat format) {
  Weights weights;
  for (const WeightMatrix* w : {&stored.head.matrix, &stored.head_projection.matrix, &stored.band_head})
    weights.add(*w, format);
  for (const AdaptiveBand& band : stored.bands) {
    weights.add(band.out_table.empty() ? band.table : band.out_table, format);
    weights.add(band.out_projection, format);
  }
  return weights;
}

/// Positions that the rows past .. past + n_rows - 1 see, summed; window 0: all.
double positions_seen(std::size_t past, std::size_t n_rows, std::size_t window) {
  double n = 0.0;
  for (std::size_t p = past; p < past + n_rows; ++p) {
    n += static_cast<double>(window == 0 ? p + 1 : std::min(p + 1, window));
  }
  return n;
}

}  // namespace

double bytes_per_weight(WeightFormat format, DType stored) noexcept {
  switch (format) {
    case WeightFormat::bf16:
      return 2.0;
    case WeightFormat::int8:
      return 1.0 + 4.0 / kInt8Group;  // a float32 scale
    case WeightFormat::int4:
      return 0.5 + 4.0 / kInt4Group;  // scale and minimum, bf16
    case WeightFormat::f32:
      break;
  }
  return stored == DType::bf16 ? 2.0 : 4.0;
}

PassCost& PassCost::operator+=(const PassCost& other) noexcept {
  layer_flop += other.layer_flop;
  head_flop += other.head_flop;
  attention_flop += other.attention_flop;
  bytes += other.bytes;
  return *this;
}

PassCost cost_of(const Model& model, const PassShape& pass) {
  const ModelConfig& c = model.config();
  const WeightMode mode = model.weight_mode();
  const auto n_sequences = static_cast<double>(pass.n_sequences);
  const double n_rows = n_sequences * static_cast<double>(pass.n_rows);
  PassCost cost;
  Weights layers;
  double cached = 0.0;
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const LayerWeights& layer = model.weights().layers[l];
    const std::size_t window = c.attention_window[l];
    add_layer(layers, layer, layer_format(mode), pass.active_share);
    cost.attention_flop +=
        4.0 * static_cast<double>(c.n_heads * c.head_dim) * n_sequences * positions_seen(pass.past, pass.n_rows, window);
    const std::size_t end = pass.past + pass.n_rows;
    cached += 2.0 * static_cast<double>(c.n_kv_heads * c.head_dim) * n_sequences *
              static_cast<double>(window == 0 ? end : std::min(end, window + pass.n_rows));
  }
  const Weights head = pass.n_scored == 0 ? Weights{} : head_weights(model.weights(), head_format(mode));
  cost.layer_flop = 2.0 * n_rows * layers.n;
  cost.head_flop = 2.0 * static_cast<double>(pass.n_scored) * head.n;
  cost.bytes = layers.bytes + head.bytes + cached * sizeof(float);
  return cost;
}

}  // namespace ffmem::tools
