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
  /// Room for positions 0 .. context - 1. Views `config`, which must outlive this.
  PositionTables(const ModelConfig& config, std::size_t context);

  /// Fills in what is missing up to position n - 1: a long context costs neither time nor memory until it is reached.
  void reach(std::size_t n);

  /// Empty (n_positions 0) unless config.positions is rotary; numbers as far as reach() went. Valid as long as this lives.
  const RotaryTable& rotary() const noexcept { return rotary_; }

  /// x[t] += the sinusoidal vector of positions[t], all of them reached. x [T, d].
  void add_sinusoidal(std::span<const std::uint32_t> positions, MatrixView x) const;

  static std::size_t bytes(const ModelConfig& config, std::size_t context);

 private:
  void fill_rotary(std::size_t position);

  const ModelConfig& config_;
  std::size_t n_reached_ = 0;
  AlignedBuffer cos_;         // [context, r/2]
  AlignedBuffer sin_;         // [context, r/2]
  AlignedBuffer sinusoidal_;  // [context, d]
  RotaryTable rotary_;
};

}  // namespace ffmem
