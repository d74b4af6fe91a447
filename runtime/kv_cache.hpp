// Room for keys and values: one slot a sequence and layer, or, where nothing is kept, one pool that every layer writes anew.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "loaders/model_config.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/backend.hpp"

namespace ffmem {

class KvCache {
 public:
  /// keep: `n_slots` sequences of `context` positions in every layer. Otherwise a pool for runs of up to `max_tokens` rows in
  /// up to `n_slots` sequences.
  KvCache(const ModelConfig& config, bool keep, std::size_t n_slots, std::size_t context, std::size_t max_tokens);

  /// Fills in where each sequence (slot = its place in the list) keeps its keys and values, for every layer.
  /// by_layer [L] is sized by the caller; first_row, n_rows and past are given in `sequences`.
  void place(std::span<const SequenceRows> sequences, std::vector<std::vector<SequenceRows>>& by_layer) const;

  static std::size_t bytes(const ModelConfig& config, bool keep, std::size_t n_slots, std::size_t context,
                           std::size_t max_tokens);

 private:
  std::size_t width_;  // n_kv_heads * head_dim
  bool keep_;
  std::size_t n_slots_;
  std::size_t capacity_;  // positions of a slot
  AlignedBuffer keys_;
  AlignedBuffer values_;
};

}  // namespace ffmem
