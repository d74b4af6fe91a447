#include "runtime/kv_cache.hpp"

#include "ops/rounding.hpp"

namespace ffmem {
namespace {

std::size_t whole_blocks(std::size_t n) { return round_up(n, kKeyBlock); }

/// Positions of all slots of all layers together.
std::size_t total_positions(const ModelConfig& config, bool keep, std::size_t n_slots, std::size_t context,
                            std::size_t max_tokens) {
  if (keep) return config.n_layers * n_slots * whole_blocks(context);
  return max_tokens + n_slots * (kKeyBlock - 1);  // each sequence rounds up on its own
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, bool keep, std::size_t n_slots, std::size_t context, std::size_t max_tokens)
    : width_(config.n_kv_heads * config.head_dim), keep_(keep), n_slots_(n_slots), capacity_(whole_blocks(context)) {
  const std::size_t n = total_positions(config, keep, n_slots, context, max_tokens) * width_;
  keys_ = AlignedBuffer(n);
  values_ = AlignedBuffer(n);
}

void KvCache::place(std::span<const SequenceRows> sequences, std::vector<std::vector<SequenceRows>>& by_layer) const {
  for (std::size_t layer = 0; layer < by_layer.size(); ++layer) {
    by_layer[layer].assign(sequences.begin(), sequences.end());
    std::size_t position = keep_ ? layer * n_slots_ * capacity_ : 0;
    for (SequenceRows& sequence : by_layer[layer]) {
      const std::size_t capacity = keep_ ? capacity_ : whole_blocks(sequence.n_rows);
      sequence.cache = {
          .keys = keys_.data() + position * width_, .values = values_.data() + position * width_, .capacity = capacity};
      position += capacity;
    }
  }
}

std::size_t KvCache::bytes(const ModelConfig& config, bool keep, std::size_t n_slots, std::size_t context,
                           std::size_t max_tokens) {
  return 2 * sizeof(float) * config.n_kv_heads * config.head_dim * total_positions(config, keep, n_slots, context, max_tokens);
}

}  // namespace ffmem
