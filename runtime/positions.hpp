// Tables over positions that no checkpoint stores: rotary angles and sinusoidal embeddings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "loaders/model_config.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"

namespace ffmem {

class PositionTables {
 public:
  /// For positions 0 .. context - 1.
  PositionTables(const ModelConfig& config, std::size_t context);

  /// Empty (n_positions 0) unless config.positions is rotary. Valid as long as this lives.
  const RotaryTable& rotary() const noexcept { return rotary_; }

  /// x[t] += the sinusoidal vector of positions[t]. x [T, d].
  void add_sinusoidal(std::span<const std::uint32_t> positions, MatrixView x) const;

  static std::size_t bytes(const ModelConfig& config, std::size_t context);

 private:
  AlignedBuffer cos_;         // [context, r/2]
  AlignedBuffer sin_;         // [context, r/2]
  AlignedBuffer sinusoidal_;  // [context, d]
  RotaryTable rotary_;
};

}  // namespace ffmem
