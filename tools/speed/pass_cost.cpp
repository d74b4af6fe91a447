#include "tools/speed/pass_cost.hpp"

#include <algorithm>

namespace ffmem::tools {
namespace {

double size_of(const WeightMatrix& w) { return static_cast<double>(w.rows) * static_cast<double>(w.cols); }

/// Weights of one layer besides its values.
double dense_weights(const LayerWeights& layer) {
  return size_of(layer.query.matrix) + size_of(layer.key.matrix) + size_of(layer.value.matrix) + size_of(layer.output.matrix) +
         size_of(layer.keys.matrix) + size_of(layer.ups.matrix);
}

double head_weights(const ModelWeights& weights) {
  double n = size_of(weights.head.matrix) + size_of(weights.head_projection.matrix) + size_of(weights.band_head);
  for (const AdaptiveBand& band : weights.bands) {
    n += size_of(band.out_table.empty() ? band.table : band.out_table) + size_of(band.out_projection);
  }
  return n;
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

double bytes_per_weight(WeightFormat format) noexcept {
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
  return 4.0;
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
  double layer_weights = 0.0;
  double cached = 0.0;
  for (std::size_t l = 0; l < c.n_layers; ++l) {
    const LayerWeights& layer = model.weights().layers[l];
    const std::size_t window = c.attention_window[l];
    layer_weights += dense_weights(layer) + pass.active_share * size_of(layer.values);
    cost.attention_flop +=
        4.0 * static_cast<double>(c.n_heads * c.head_dim) * n_sequences * positions_seen(pass.past, pass.n_rows, window);
    const std::size_t end = pass.past + pass.n_rows;
    cached += 2.0 * static_cast<double>(c.n_kv_heads * c.head_dim) * n_sequences *
              static_cast<double>(window == 0 ? end : std::min(end, window + pass.n_rows));
  }
  const double head = pass.n_scored == 0 ? 0.0 : head_weights(model.weights());
  cost.layer_flop = 2.0 * n_rows * layer_weights;
  cost.head_flop = 2.0 * static_cast<double>(pass.n_scored) * head;
  cost.bytes = layer_weights * bytes_per_weight(layer_format(mode)) + head * bytes_per_weight(head_format(mode)) +
               cached * sizeof(float);
  return cost;
}

}  // namespace ffmem::tools
