#include "runtime/positions.hpp"

#include <cmath>

namespace ffmem {
namespace {

/// fairseq's SinusoidalPositionalEmbedding: all sines, then all cosines, of position * exp(-k log(10000) / (d/2 - 1)), computed
/// in float32 as there; one zero behind them when d is odd.
void fill_sinusoidal(const ModelConfig& config, std::size_t p, float* row) {
  const std::size_t half = config.d_model / 2;
  const auto step = static_cast<float>(std::log(10000.0) / static_cast<double>(half - 1));
  const auto position = static_cast<float>(p + config.position_offset);
  for (std::size_t k = 0; k < half; ++k) {
    const float angle = position * std::exp(static_cast<float>(k) * -step);
    row[k] = std::sin(angle);
    row[half + k] = std::cos(angle);
  }
}

}  // namespace

PositionTables::PositionTables(const ModelConfig& config, std::size_t context) : config_(config) {
  if (config.positions == PositionKind::sinusoidal) sinusoidal_ = AlignedBuffer(context * config.d_model);
  if (config.positions == PositionKind::rotary) {
    const std::size_t half = config.rotary_inv_freq.size();
    cos_ = AlignedBuffer(context * half);
    sin_ = AlignedBuffer(context * half);
    rotary_ = {
        .cos = cos_.data(), .sin = sin_.data(), .n_positions = context, .rotary_dim = 2 * half, .layout = config.rotary_layout};
  }
}

void PositionTables::reach(std::size_t n) {
  for (; n_reached_ < n; ++n_reached_) {
    if (config_.positions == PositionKind::rotary) fill_rotary(n_reached_);
    if (config_.positions == PositionKind::sinusoidal) {
      fill_sinusoidal(config_, n_reached_, sinusoidal_.data() + n_reached_ * config_.d_model);
    }
  }
}

void PositionTables::fill_rotary(std::size_t position) {
  const std::size_t half = config_.rotary_inv_freq.size();
  for (std::size_t k = 0; k < half; ++k) {
    const float angle = static_cast<float>(position) * config_.rotary_inv_freq[k];  // float32, as Transformers computes it
    cos_.data()[position * half + k] = std::cos(angle);
    sin_.data()[position * half + k] = std::sin(angle);
  }
}

void PositionTables::add_sinusoidal(std::span<const std::uint32_t> positions, MatrixView x) const {
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* row = sinusoidal_.data() + positions[t] * x.cols;
    for (std::size_t i = 0; i < x.cols; ++i) x.row_data(t)[i] += row[i];
  }
}

std::size_t PositionTables::bytes(const ModelConfig& config, std::size_t context) {
  if (config.positions == PositionKind::sinusoidal) return context * config.d_model * sizeof(float);
  if (config.positions == PositionKind::rotary) return 2 * context * config.rotary_inv_freq.size() * sizeof(float);
  return 0;
}

}  // namespace ffmem
