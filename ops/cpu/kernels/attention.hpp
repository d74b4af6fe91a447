// Causal attention with a running maximum and sum (online softmax).
//
// Every query walks its keys in chunks of 128 positions counted from 0, from the chunk with the first key it sees to that of
// its own position. In a chunk: score_j = one chain of fused multiply-adds over the head's dimensions; the maximum so far;
// p_j = exp(score_j - maximum); the sum of the p_j; out = out * exp(old maximum - maximum) + p_j v_j, j ascending. Queries are
// taken up to six at a time only to share loads, so each gets the same bits alone and in company, prefilled and decoded.
#pragma once

#include <limits>
#include <type_traits>

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
  static constexpr std::size_t kTogether = 6;   // queries that share loads
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

  // Scores of `Queries` queries against keys [u, u + Vectors) * width of a chunk, u a multiple of Vectors.
  template <std::size_t Queries, std::size_t Vectors>
  static void score_keys(const float* const* q, std::size_t head_dim, const float* keys, std::size_t u,
                         float (*scores)[kChunk]) noexcept {
    V sums[Queries][Vectors];
    const float* lines[Vectors];
    const float* const first = keys + u * kW / kKeyLanes * kKeyLanes * head_dim + u * kW % kKeyLanes;
#pragma GCC unroll 8
    for (std::size_t v = 0; v < Vectors; ++v) {
      lines[v] = first + v * kW / kKeyLanes * kKeyLanes * head_dim + v * kW % kKeyLanes;
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Queries; ++i) sums[i][v] = V(0.0F);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < head_dim; ++c) {
      V k[Vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) k[v] = load<Arch>(lines[v] + c * kKeyLanes);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Queries; ++i) {
        const V component(q[i][c]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = fma<Arch>(component, k[v], sums[i][v]);
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[i][v].store_aligned(scores[i] + (u + v) * kW);
    }
  }

  // At least the keys [begin, end); the cache ends with a whole key block behind `end`.
  template <std::size_t Queries, std::size_t Vectors>
  static void score_range(const float* const* q, std::size_t head_dim, const float* keys, std::size_t begin, std::size_t end,
                          float (*scores)[kChunk]) noexcept {
    const std::size_t last = (end + kKeyLanes - 1) / kKeyLanes * (kKeyLanes / kW);
    std::size_t u = begin / (Vectors * kW) * Vectors;
    for (; u + Vectors <= last; u += Vectors) score_keys<Queries, Vectors>(q, head_dim, keys, u, scores);
    for (; u < last; ++u) score_keys<Queries, 1>(q, head_dim, keys, u, scores);
  }

  // Caps and biases scores of the keys that begin at key j of a chunk.
  static V adjust(const AttentionBlock& b, std::size_t i, std::size_t chunk, std::size_t j, V s) noexcept {
    if (b.softcap > 0.0F) s = Elementwise<Arch>::softcap(s, b.softcap);
    if (b.slopes[i] != 0.0F) {
      const V behind = V(static_cast<float>(b.positions[i] - chunk)) - (lane_numbers<Arch>() + V(static_cast<float>(j)));
      s = fma<Arch>(V(-b.slopes[i]), behind, s);
    }
    return s;
  }

  // Scales, caps, biases and masks one query's scores of a chunk that begins at `chunk`; the largest, in every lane. Plain: no
  // caps and biases.
  template <bool Plain>
  static V finish_scores(const AttentionBlock& b, std::size_t i, const Query& query, std::size_t chunk,
                         float* scores) noexcept {
    const V infinity(std::numeric_limits<float>::infinity());
    const V scale(b.scale);
    V most = -infinity;
    for (std::size_t j = query.begin / kW * kW; j < query.end; j += kW) {
      V s = V::load_aligned(scores + j) * scale;
      if constexpr (!Plain) s = adjust(b, i, chunk, j, s);
      if (j < query.begin || j + kW > query.end) {
        const V key = lane_numbers<Arch>() + V(static_cast<float>(j));
        const auto seen = (key >= V(static_cast<float>(query.begin))) && (key < V(static_cast<float>(query.end)));
        s = xsimd::select(seen, s, -infinity);
      }
      most = xsimd::max(most, s);
      s.store_aligned(scores + j);
    }
    return max_lanes<Arch>(most);
  }

  // Scores become weights exp(score - maximum), out is rescaled to the new maximum. Lanes of keys not seen become e^-84: too
  // little to change a sum, which has a weight of 1.
  static void weigh(const AttentionBlock& b, std::size_t i, Query& query, std::size_t chunk, float* scores) noexcept {
    const bool plain = b.softcap == 0.0F && b.slopes[i] == 0.0F;
    const V largest =
        plain ? finish_scores<true>(b, i, query, chunk, scores) : finish_scores<false>(b, i, query, chunk, scores);
    const V maximum = xsimd::max(query.maximum, largest);
    V sums(0.0F);
    for (std::size_t j = query.begin / kW * kW; j < query.end; j += kW) {
      const V p = add_exp<Arch>(V(0.0F), V::load_aligned(scores + j) - maximum);
      p.store_aligned(scores + j);
      sums += p;
    }
    const V fade = add_exp<Arch>(V(0.0F), query.maximum - maximum);
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
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = get(outs[i] + c + v * kW);
    }
#pragma GCC unroll 4
    for (std::size_t j = begin; j < end; ++j) {
      V value[Vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) value[v] = get(values + j * head_dim + c + v * kW);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Queries; ++i) {
        const V weight(weights[i][j]);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = fma<Arch>(weight, value[v], sums[i][v]);
      }
    }
#pragma GCC unroll 8
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

  static std::size_t least(std::size_t a, std::size_t b) noexcept { return a < b ? a : b; }
  static std::size_t most(std::size_t a, std::size_t b) noexcept { return a > b ? a : b; }

  // Several queries: the keys that all of them see together, what one sees before and behind those alone.
  template <std::size_t Queries>
  static void mix_group(const Query* queries, float (*weights)[kChunk], const float* values, std::size_t head_dim,
                        float* const* outs) noexcept {
    if constexpr (Queries == 1) {
      mix_alone(weights, values, head_dim, queries->begin, queries->end, outs);
    } else {
      std::size_t begin = 0;
      std::size_t end = kChunk;
      for (std::size_t i = 0; i < Queries; ++i) {
        begin = most(queries[i].begin, begin);
        end = least(queries[i].end, end);
      }
      begin = least(begin, end);
      for (std::size_t i = 0; i < Queries; ++i) {
        mix_alone(weights + i, values, head_dim, queries[i].begin, least(queries[i].end, begin), outs + i);
      }
      mix<Queries, kVectors>(weights, values, head_dim, begin, end, outs);
      for (std::size_t i = 0; i < Queries; ++i) {
        mix_alone(weights + i, values, head_dim, most(queries[i].begin, end), queries[i].end, outs + i);
      }
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

  // Scores of some queries against the keys that any of them sees.
  template <std::size_t Queries>
  static void score_group(const Query* queries, const float* const* q, std::size_t head_dim, const float* keys,
                          float (*scores)[kChunk]) noexcept {
    std::size_t begin = kChunk;
    std::size_t end = 0;
    for (std::size_t i = 0; i < Queries; ++i) {
      begin = least(queries[i].begin, begin);
      end = most(queries[i].end, end);
    }
    score_range<Queries, Queries == 1 ? kLoneVectors : kVectors>(q, head_dim, keys, begin, end, scores);
  }

  // f(i, n) for queries [i, i + n) that follow each other and see keys of the chunk, n a constant up to kTogether.
  template <class F>
  static void for_each_group(const AttentionBlock& b, const Query* queries, F f) noexcept {
    for (std::size_t i = 0; i < b.n_queries;) {
      std::size_t n = 0;
      while (n < kTogether && i + n < b.n_queries && queries[i + n].begin < queries[i + n].end) ++n;
      if (n != 0) with_constant<kTogether>(n, [&](auto number) { f(i, number); });
      i += n != 0 ? n : 1;
    }
  }

  template <std::size_t N, class F>
  static void with_constant(std::size_t n, F f) noexcept {
    if constexpr (N > 1) {
      if (n < N) return with_constant<N - 1>(n, f);
    }
    f(std::integral_constant<std::size_t, N>{});
  }

  // One chunk for all queries: first its keys, then its values.
  static void walk_chunk(const AttentionBlock& b, Query* queries, std::size_t chunk, float (*scores)[kChunk]) noexcept {
    const float* const keys = b.keys + chunk * b.head_dim;
    const float* const values = b.values + chunk * b.head_dim;
    for (std::size_t i = 0; i < b.n_queries; ++i) set_range(b, i, chunk, queries[i]);
    for_each_group(b, queries,
                   [&](std::size_t i, auto n) { score_group<n>(queries + i, b.queries + i, b.head_dim, keys, scores + i); });
    for (std::size_t i = 0; i < b.n_queries; ++i) {
      if (queries[i].begin < queries[i].end) weigh(b, i, queries[i], chunk, scores[i]);
    }
    for_each_group(b, queries,
                   [&](std::size_t i, auto n) { mix_group<n>(queries + i, scores + i, values, b.head_dim, b.outs + i); });
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
