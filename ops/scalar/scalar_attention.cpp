#include "ops/scalar/scalar_attention.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ffmem {
namespace {

// Where component c of the key at position j of one key head lies.
std::size_t key_index(std::size_t j, std::size_t c, std::size_t head_dim) {
  return (j / kKeyBlock * head_dim + c) * kKeyBlock + j % kKeyBlock;
}

// One query head at one position against one key/value head.
void attend(const AttentionShape& shape, std::size_t head, const float* query, const float* keys, const float* values,
            std::size_t position, float* out) {
  const std::size_t d = shape.head_dim;
  const std::size_t first = shape.window != 0 && position + 1 > shape.window ? position + 1 - shape.window : 0;
  std::vector<double> weights(position + 1 - first);
  for (std::size_t j = first; j <= position; ++j) {
    double score = 0;
    for (std::size_t c = 0; c < d; ++c) score += static_cast<double>(query[c]) * keys[key_index(j, c, d)];
    score *= shape.scale;
    if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
    if (shape.alibi_slopes != nullptr) score -= shape.alibi_slopes[head] * static_cast<double>(position - j);
    weights[j - first] = score;
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  for (std::size_t c = 0; c < d; ++c) {
    double mixed = 0;
    for (std::size_t j = first; j <= position; ++j) mixed += weights[j - first] * values[j * d + c];
    out[c] = static_cast<float>(mixed / sum);
  }
}

}  // namespace

void scalar_append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                      std::span<const SequenceRows> sequences) {
  const std::size_t d = shape.head_dim;
  for (const SequenceRows& sequence : sequences) {
    const KvCacheView& cache = sequence.cache;
    for (std::size_t t = 0; t < sequence.n_rows; ++t) {
      const std::size_t position = sequence.past + t;
      for (std::size_t head = 0; head < shape.n_kv_heads; ++head) {
        const float* key = k.row_data(sequence.first_row + t) + head * d;
        const float* value = v.row_data(sequence.first_row + t) + head * d;
        const std::size_t head_begin = head * cache.capacity * d;
        for (std::size_t c = 0; c < d; ++c) cache.keys[head_begin + key_index(position, c, d)] = key[c];
        std::copy_n(value, d, cache.values + head_begin + position * d);
      }
    }
  }
}

void scalar_attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences, MatrixView out) {
  const std::size_t d = shape.head_dim;
  const std::size_t queries_per_kv_head = shape.n_heads / shape.n_kv_heads;
  for (const SequenceRows& sequence : sequences) {
    const KvCacheView& cache = sequence.cache;
    for (std::size_t t = 0; t < sequence.n_rows; ++t) {
      const std::size_t row = sequence.first_row + t;
      for (std::size_t head = 0; head < shape.n_heads; ++head) {
        const std::size_t head_begin = head / queries_per_kv_head * cache.capacity * d;
        attend(shape, head, q.row_data(row) + head * d, cache.keys + head_begin, cache.values + head_begin, sequence.past + t,
               out.row_data(row) + head * d);
      }
    }
  }
}

}  // namespace ffmem
