// Causal attention with a running maximum and sum (online softmax).
//
// Every query walks its keys in chunks of 128 positions counted from 0, from the chunk with the first key it sees to that of
// its own position. In a chunk: score_j = one chain of fused multiply-adds over the head's dimensions; the maximum so far;
// p_j = exp(score_j - maximum); the sum of the p_j; out = out * exp(old maximum - maximum) + p_j v_j, j ascending. Queries are
// taken four at a time only to share loads, so each gets the same bits alone and in company, prefilled and decoded.
#pragma once

#include <limits>

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/kernels/elementwise.hpp"
#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Attention {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kChunk = 128;
  static constexpr std::size_t kKeyLanes = 16;  // keys in a block of the cache
  static constexpr std::size_t kTogether = 4;   // queries that share loads
#if defined(__aarch64__)
  static constexpr std::size_t kVectors = 4;  // times kTogether: sums held in registers
#else
  static constexpr std::size_t kVectors = kW == 16 ? 4 : 2;
#endif
  static constexpr std::size_t kLoneVectors = kW == 16 ? 8 : 4;  // likewise for a single query

  // One query's state; all lanes of maximum and sum are equal. begin and end: the keys it sees of the current chunk, relative
  // to it.
  struct Query {
    V maximum;
    V sum;
    std::size_t begin;
    std::size_t end;
  };

  // Scores of `Queries` queries against keys [u, u + Vectors) * width of a chunk.
  template <std::size_t Queries, std::size_t Vectors>
  static void score_keys(const float* const* q, std::size_t head_dim, const float* keys, std::size_t u,
                         float (*scores)[kChunk]) noexcept {
    V sums[Queries][Vectors];
    const float* lines[Vectors];
#pragma GCC unroll 8
    for (std::size_t v = 0; v < Vectors; ++v) {
      const std::size_t key = (u + v) * kW;
      lines[v] = keys + key / kKeyLanes * kKeyLanes * head_dim + key % kKeyLanes;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < Queries; ++i) sums[i][v] = V(0.0F);
    }
    for (std::size_t c = 0; c < head_dim; ++c) {
      V k[Vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) k[v] = load<Arch>(lines[v] + c * kKeyLanes);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < Queries; ++i) {
        const V component(q[i][c]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = fma<Arch>(component, k[v], sums[i][v]);
      }
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[i][v].store_aligned(scores[i] + (u + v) * kW);
    }
  }

  // All vectors of keys that hold one of [begin, end); the cache ends with a whole key block behind `end`.
  template <std::size_t Queries, std::size_t Vectors>
  static void score_range(const float* const* q, std::size_t head_dim, const float* keys, std::size_t begin, std::size_t end,
                          float (*scores)[kChunk]) noexcept {
    const std::size_t last = (end + kW - 1) / kW;
    std::size_t u = begin / kW;
    for (; u + Vectors <= last; u += Vectors) score_keys<Queries, Vectors>(q, head_dim, keys, u, scores);
    for (; u < last; ++u) score_keys<Queries, 1>(q, head_dim, keys, u, scores);
  }

  // Scales, caps, biases and masks one query's scores of a chunk that begins at `chunk`; the largest, in every lane.
  static V finish_scores(const AttentionBlock& b, std::size_t i, const Query& query, std::size_t chunk,
                         float* scores) noexcept {
    const V infinity(std::numeric_limits<float>::infinity());
    const V lanes = lane_numbers<Arch>();
    V most = -infinity;
    for (std::size_t j = query.begin / kW * kW; j < query.end; j += kW) {
      V s = V::load_aligned(scores + j) * V(b.scale);
      if (b.softcap > 0.0F) s = Elementwise<Arch>::softcap(s, b.softcap);
      if (b.slopes[i] != 0.0F) {
        const V behind = V(static_cast<float>(b.positions[i] - chunk)) - (lanes + V(static_cast<float>(j)));
        s = fma<Arch>(V(-b.slopes[i]), behind, s);
      }
      if (j < query.begin || j + kW > query.end) {
        const V key = lanes + V(static_cast<float>(j));
        const auto seen = (key >= V(static_cast<float>(query.begin))) && (key < V(static_cast<float>(query.end)));
        s = xsimd::select(seen, s, -infinity);
      }
      most = xsimd::max(most, s);
      s.store_aligned(scores + j);
    }
    return max_lanes<Arch>(most);
  }

  // Scores become weights exp(score - maximum), 0 for keys not seen; out is rescaled to the new maximum.
  static void weigh(const AttentionBlock& b, std::size_t i, Query& query, std::size_t chunk, float* scores) noexcept {
    const V maximum = xsimd::max(query.maximum, finish_scores(b, i, query, chunk, scores));
    V sums(0.0F);
    for (std::size_t j = query.begin / kW * kW; j < query.end; j += kW) {
      const V p = exp<Arch>(V::load_aligned(scores + j) - maximum);
      p.store_aligned(scores + j);
      sums += p;
    }
    const V fade = exp<Arch>(query.maximum - maximum);
    query.sum = fma<Arch>(query.sum, fade, sum_lanes<Arch>(sums));
    query.maximum = maximum;
    float* out = b.outs[i];
    for_each_vector<Arch>(
        b.head_dim, [out, fade](std::size_t c, std::size_t n) { store_n<Arch>(load_n<Arch>(out + c, n) * fade, out + c, n); });
  }

  // out[i][c .. c + Vectors * width) += weights[i][j] values[j][...] for j in [begin, end) in turn; the last vector has `tail`
  // lanes.
  template <std::size_t Queries, std::size_t Vectors, bool Partial>
  static void mix_columns(float (*weights)[kChunk], const float* values, std::size_t head_dim, std::size_t begin,
                          std::size_t end, float* const* outs, std::size_t c, std::size_t tail) noexcept {
    const auto get = [tail](const float* p) { return Partial ? load_first<Arch>(p, tail) : load<Arch>(p); };
    V sums[Queries][Vectors];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = get(outs[i] + c + v * kW);
    }
    for (std::size_t j = begin; j < end; ++j) {
      V value[Vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) value[v] = get(values + j * head_dim + c + v * kW);
#pragma GCC unroll 4
      for (std::size_t i = 0; i < Queries; ++i) {
        const V weight(weights[i][j]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = fma<Arch>(weight, value[v], sums[i][v]);
      }
    }
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) store_n<Arch>(sums[i][v], outs[i] + c + v * kW, Partial ? tail : kW);
    }
  }

  template <std::size_t Queries, std::size_t Vectors>
  static void mix(float (*weights)[kChunk], const float* values, std::size_t head_dim, std::size_t begin, std::size_t end,
                  float* const* outs) noexcept {
    if (begin >= end) return;
    std::size_t c = 0;
    for (; c + Vectors * kW <= head_dim; c += Vectors * kW) {
      mix_columns<Queries, Vectors, false>(weights, values, head_dim, begin, end, outs, c, kW);
    }
    for (; c + kW <= head_dim; c += kW) mix_columns<Queries, 1, false>(weights, values, head_dim, begin, end, outs, c, kW);
    if (c < head_dim) mix_columns<Queries, 1, true>(weights, values, head_dim, begin, end, outs, c, head_dim - c);
  }

  static void mix_alone(float (*weights)[kChunk], const float* values, std::size_t head_dim, std::size_t begin, std::size_t end,
                        float* const* out) noexcept {
    mix<1, kLoneVectors>(weights, values, head_dim, begin, end, out);
  }

  // Four queries: the keys that all of them see together, what one sees before and behind those alone.
  static void mix_together(const Query* queries, float (*weights)[kChunk], const float* values, std::size_t head_dim,
                           float* const* outs) noexcept {
    std::size_t begin = 0;
    std::size_t end = kChunk;
    for (std::size_t i = 0; i < kTogether; ++i) {
      begin = queries[i].begin > begin ? queries[i].begin : begin;
      end = queries[i].end < end ? queries[i].end : end;
    }
    if (begin > end) begin = end;
    for (std::size_t i = 0; i < kTogether; ++i) {
      const std::size_t before = queries[i].end < begin ? queries[i].end : begin;
      mix_alone(weights + i, values, head_dim, queries[i].begin, before, outs + i);
    }
    mix<kTogether, kVectors>(weights, values, head_dim, begin, end, outs);
    for (std::size_t i = 0; i < kTogether; ++i) {
      const std::size_t behind = queries[i].begin > end ? queries[i].begin : end;
      mix_alone(weights + i, values, head_dim, behind, queries[i].end, outs + i);
    }
  }

  static std::size_t first_seen(const AttentionBlock& b, std::size_t i) noexcept {
    return b.window != 0 && b.positions[i] + 1 > b.window ? b.positions[i] + 1 - b.window : 0;
  }

  // Which keys of the chunk that begins at `chunk` query i sees.
  static void set_range(const AttentionBlock& b, std::size_t i, std::size_t chunk, Query& query) noexcept {
    const std::size_t first = first_seen(b, i);
    const std::size_t end = b.positions[i] + 1;
    query.end = end <= chunk ? 0 : (end - chunk < kChunk ? end - chunk : kChunk);
    query.begin = first > chunk ? first - chunk : 0;
    if (query.begin > query.end) query.begin = query.end;
  }

  // Whether four queries begin at i, all of which see keys of the chunk.
  static bool is_group(const AttentionBlock& b, const Query* queries, std::size_t i) noexcept {
    if (b.n_queries - i < kTogether) return false;
    for (std::size_t j = i; j < i + kTogether; ++j) {
      if (queries[j].begin == queries[j].end) return false;
    }
    return true;
  }

  static void score_group(const AttentionBlock& b, const Query* queries, std::size_t i, const float* keys,
                          float (*scores)[kChunk]) noexcept {
    std::size_t begin = kChunk;
    std::size_t end = 0;
    for (std::size_t j = i; j < i + kTogether; ++j) {
      begin = queries[j].begin < begin ? queries[j].begin : begin;
      end = queries[j].end > end ? queries[j].end : end;
    }
    score_range<kTogether, kVectors>(b.queries + i, b.head_dim, keys, begin, end, scores + i);
  }

  // One chunk for all queries: first its keys, then its values, each of which the first level of cache then holds.
  static void walk_chunk(const AttentionBlock& b, Query* queries, std::size_t chunk, float (*scores)[kChunk]) noexcept {
    const std::size_t d = b.head_dim;
    const float* keys = b.keys + chunk * d;
    const float* values = b.values + chunk * d;
    for (std::size_t i = 0; i < b.n_queries; ++i) set_range(b, i, chunk, queries[i]);
    for (std::size_t i = 0; i < b.n_queries;) {
      const Query& query = queries[i];
      if (is_group(b, queries, i)) {
        score_group(b, queries, i, keys, scores);
        i += kTogether;
      } else {
        score_range<1, kLoneVectors>(b.queries + i, d, keys, query.begin, query.end, scores + i);
        ++i;
      }
    }
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      if (queries[i].begin < queries[i].end) weigh(b, i, queries[i], chunk, scores[i]);
    }
    for (std::size_t i = 0; i < b.n_queries;) {
      if (is_group(b, queries, i)) {
        mix_together(queries + i, scores + i, values, d, b.outs + i);
        i += kTogether;
      } else {
        mix_alone(scores + i, values, d, queries[i].begin, queries[i].end, b.outs + i);
        ++i;
      }
    }
  }

  static void attention(const AttentionBlock& b) noexcept {
    alignas(64) float scores[AttentionBlock::kMaxQueries][kChunk];
    Query queries[AttentionBlock::kMaxQueries];
    std::size_t first = b.positions[0];
    std::size_t last = 0;
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      queries[i] = {V(-std::numeric_limits<float>::infinity()), V(0.0F), 0, 0};
      for (std::size_t c = 0; c < b.head_dim; ++c) b.outs[i][c] = 0.0F;
      first = first_seen(b, i) < first ? first_seen(b, i) : first;
      last = b.positions[i] > last ? b.positions[i] : last;
    }
    for (std::size_t chunk = first / kChunk * kChunk; chunk <= last; chunk += kChunk) walk_chunk(b, queries, chunk, scores);
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      float* out = b.outs[i];
      for_each_vector<Arch>(b.head_dim, [&](std::size_t c, std::size_t n) {
        store_n<Arch>(divide<Arch>(load_n<Arch>(out + c, n), queries[i].sum), out + c, n);
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
