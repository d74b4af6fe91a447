// Causal attention with a running maximum and sum (online softmax).
//
// Every query walks its keys in chunks of 128 positions counted from 0, from the chunk with the first key it sees to that of
// its own position. In a chunk: score_j = one chain of fused multiply-adds over the head's dimensions; the maximum so far;
// p_j = exp(score_j - maximum); the sum of the p_j; out = out * exp(old maximum - maximum) + p_j v_j, j ascending. In the end
// out is multiplied by 1 / sum. Queries are taken a few at a time only to share loads and to wait less, so each gets the same
// bits alone and in company, prefilled and decoded. Where no score of the first chunk is above -infinity the row is NaN, though
// later ones may be: only keys that are infinite, or nearly, score so.
#pragma once

#include <limits>

#include "ops/cpu/kernels/attention_chunk.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Attention {
  using V = Vec<Arch>;
  using Chunk = AttentionChunk<Arch>;
  using Query = typename Chunk::Query;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kChunk = Chunk::kChunk;
  static constexpr std::size_t kKeyLanes = Chunk::kKeyLanes;

  static std::size_t first_seen(const AttentionBlock& b, std::size_t i) noexcept {
    return b.window != 0 && b.positions[i] + 1 > b.window ? b.positions[i] + 1 - b.window : 0;
  }

  // Which keys of the chunk that begins at `chunk` query i sees.
  static void set_range(const AttentionBlock& b, std::size_t i, std::size_t chunk, Query& query) noexcept {
    const std::size_t first = first_seen(b, i);
    const std::size_t end = b.positions[i] + 1;
    query.end = end <= chunk ? 0 : least(end - chunk, kChunk);
    query.begin = first > chunk ? first - chunk : 0;
    if (query.begin > query.end) query.begin = query.end;
  }

  // f(i, n) for queries [i, i + n) that follow each other and see keys of the chunk, n a constant up to Most.
  template <std::size_t Most, class F>
  static void for_each_group(const AttentionBlock& b, const Query* queries, F f) noexcept {
    for (std::size_t i = 0; i < b.n_queries;) {
      std::size_t n = 0;
      while (n < Most && i + n < b.n_queries && queries[i + n].begin < queries[i + n].end) ++n;
      if (n != 0) Chunk::template with_constant<Most>(n, [&](auto number) { f(i, number); });
      i += n != 0 ? n : 1;
    }
  }

  // One chunk for all queries: first its keys, then its values.
  static void walk_chunk(const AttentionBlock& b, Query* queries, std::size_t chunk, float (*scores)[kChunk]) noexcept {
    const float* const keys = b.keys + chunk * b.head_dim;
    const float* const values = b.values + chunk * b.head_dim;
    for (std::size_t i = 0; i < b.n_queries; ++i) set_range(b, i, chunk, queries[i]);
    for_each_group<Chunk::kTogether>(b, queries, [&](std::size_t i, auto n) {
      Chunk::template score_group<n>(queries + i, b.queries + i, b.head_dim, keys, scores + i);
    });
    for_each_group<Chunk::kWeighed>(
        b, queries, [&](std::size_t i, auto n) { Chunk::template weigh_group<n>(b, i, queries + i, chunk, scores + i); });
    for_each_group<Chunk::kTogether>(b, queries, [&](std::size_t i, auto n) {
      Chunk::template mix_group<n>(queries + i, scores + i, values, b.head_dim, b.outs + i);
    });
  }

  static void attention(const AttentionBlock& b) noexcept {
    alignas(64) float scores[AttentionBlock::kMaxQueries][kChunk];
    Query queries[AttentionBlock::kMaxQueries];
    std::size_t first = b.positions[0];
    std::size_t last = 0;
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      queries[i] = {V(-std::numeric_limits<float>::infinity()), V(0.0F), 0, 0};
      float* const out = b.outs[i];
      for_each_vector<Arch>(b.head_dim, [out](std::size_t c, std::size_t n) { store_n<Arch>(V(0.0F), out + c, n); });
      first = first_seen(b, i) < first ? first_seen(b, i) : first;
      last = b.positions[i] > last ? b.positions[i] : last;
    }
    for (std::size_t chunk = first / kChunk * kChunk; chunk <= last; chunk += kChunk) walk_chunk(b, queries, chunk, scores);
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      float* out = b.outs[i];
      const V share = divide<Arch>(V(1.0F), queries[i].sum);
      for_each_vector<Arch>(b.head_dim, [out, share](std::size_t c, std::size_t n) {
        store_n<Arch>(load_n<Arch>(out + c, n) * share, out + c, n);
      });
    }
  }

  static void write_keys(const float* k, std::size_t stride, std::size_t head_dim, std::size_t n, float* block,
                         std::size_t lane) noexcept {
    if (n != kKeyLanes) {
      for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t c = 0; c < head_dim; ++c) block[c * kKeyLanes + lane + j] = k[j * stride + c];
      }
      return;
    }
    for_each_vector<Arch>(head_dim, [&](std::size_t c, std::size_t components) {
      for (std::size_t j = 0; j < kKeyLanes; j += kW) {
        V square[kW];
        for (std::size_t i = 0; i < kW; ++i) square[i] = load_n<Arch>(k + (j + i) * stride + c, components);
        transpose<Arch>(square);
        for (std::size_t i = 0; i < components; ++i) square[i].store_unaligned(block + (c + i) * kKeyLanes + j);
      }
    });
  }
};

}  // namespace ffmem::kernels
