// What a few queries do with a chunk of keys and values: scores, weights, and what these mix. How queries walk their chunks:
// attention.hpp.
#pragma once

#include <limits>
#include <type_traits>

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/kernels/elementwise.hpp"
#include "ops/cpu/kernels/simd.hpp"
#include "ops/rounding.hpp"

namespace ffmem::kernels {

template <class Arch>
struct AttentionChunk {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;
  static constexpr std::size_t kChunk = 128;
  static constexpr std::size_t kKeyLanes = AttentionBlock::kKeyLanes;
  static constexpr std::size_t kTogether = 6;  // queries that share loads
  static constexpr std::size_t kWeighed = 4;   // queries whose scores become weights together
#if defined(__aarch64__)
  static constexpr std::size_t kVectors = 4;  // times kTogether: sums held in registers
#else
  static constexpr std::size_t kVectors = kW == 16 ? 4 : 2;
#endif
  static constexpr std::size_t kLoneVectors = 8;  // likewise for a single query

  // One query's state; all lanes of maximum and sum are equal. begin and end: the keys it sees of the current chunk, relative
  // to it.
  struct Query {
    V maximum;
    V sum;
    std::size_t begin;
    std::size_t end;
  };

  // f of n, 1 <= n <= N, as a constant.
  template <std::size_t N, class F>
  static void with_constant(std::size_t n, F f) noexcept {
    if constexpr (N > 1) {
      if (n < N) return with_constant<N - 1>(n, f);
    }
    f(std::integral_constant<std::size_t, N>{});
  }

  static std::size_t most(std::size_t a, std::size_t b) noexcept { return a > b ? a : b; }

  // Scores of `Queries` queries against keys [u, u + Vectors) * width of a chunk, which are in one block of the cache or
  // begin one.
  template <std::size_t Queries, std::size_t Vectors>
  static void score_keys(const float* const* q, std::size_t head_dim, const float* keys, std::size_t u,
                         float (*scores)[kChunk]) noexcept {
    V sums[Queries][Vectors];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) {
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v) sums[i][v] = V(0.0F);
    }
    const float* line = keys + u * kW / kKeyLanes * kKeyLanes * head_dim + u * kW % kKeyLanes;
#pragma GCC unroll 4
    for (std::size_t c = 0; c < head_dim; ++c, line += kKeyLanes) {
      V k[Vectors];
#pragma GCC unroll 8
      for (std::size_t v = 0; v < Vectors; ++v)
        k[v] = load<Arch>(line + v * kW / kKeyLanes * kKeyLanes * head_dim + v * kW % kKeyLanes);
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
    const std::size_t last = ceil_div(end, kKeyLanes) * (kKeyLanes / kW);
    std::size_t u = begin / (Vectors * kW) * Vectors;
    for (; u + Vectors <= last; u += Vectors) score_keys<Queries, Vectors>(q, head_dim, keys, u, scores);
    if constexpr (Vectors > 1) {
      if (u < last) with_constant<Vectors - 1>(last - u, [&](auto n) { score_keys<Queries, n>(q, head_dim, keys, u, scores); });
    }
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

  // Caps and biases scores of the keys that begin at key j of a chunk.
  static V adjust(const AttentionBlock& b, std::size_t i, std::size_t chunk, std::size_t j, V s) noexcept {
    if (b.softcap > 0.0F) s = Elementwise<Arch>::softcap(s, b.softcap);
    if (b.slopes[i] != 0.0F) {
      const V behind = V(static_cast<float>(b.positions[i] - chunk)) - (lane_numbers<Arch>() + V(static_cast<float>(j)));
      s = fma<Arch>(V(-b.slopes[i]), behind, s);
    }
    return s;
  }

  // The score of the keys that begin at key j of a chunk, scaled, capped, biased and masked. Plain: no caps and biases.
  template <bool Plain>
  static V finish_score(const AttentionBlock& b, std::size_t i, const Query& query, std::size_t chunk, std::size_t j,
                        V s) noexcept {
    s = s * V(b.scale);
    if constexpr (!Plain) s = adjust(b, i, chunk, j, s);
    if (j >= query.begin && j + kW <= query.end) return s;
    const V key = lane_numbers<Arch>() + V(static_cast<float>(j));
    const auto seen = (key >= V(static_cast<float>(query.begin))) && (key < V(static_cast<float>(query.end)));
    return xsimd::select(seen, s, V(-std::numeric_limits<float>::infinity()));
  }

  // Scores of `Queries` queries that see keys of the same vectors become weights exp(score - maximum), their outs are rescaled
  // to the new maxima. Lanes of keys not seen become e^-84: too little to change a sum, which has a weight of 1.
  template <std::size_t Queries, bool Plain>
  static void weigh(const AttentionBlock& b, std::size_t first, Query* queries, std::size_t chunk,
                    float (*scores)[kChunk]) noexcept {
    const std::size_t begin = queries->begin / kW * kW;
    const std::size_t end = queries->end;
    V maximum[Queries];
    V sums[Queries];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) {
      maximum[i] = V(-std::numeric_limits<float>::infinity());
      sums[i] = V(0.0F);
    }
    for (std::size_t j = begin; j < end; j += kW) {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Queries; ++i) {
        const V s = finish_score<Plain>(b, first + i, queries[i], chunk, j, V::load_aligned(scores[i] + j));
        maximum[i] = xsimd::max(maximum[i], s);
        s.store_aligned(scores[i] + j);
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) maximum[i] = xsimd::max(queries[i].maximum, max_lanes<Arch>(maximum[i]));
    for (std::size_t j = begin; j < end; j += kW) {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < Queries; ++i) {
        const V p = add_exp<Arch>(V(0.0F), V::load_aligned(scores[i] + j) - maximum[i]);
        p.store_aligned(scores[i] + j);
        sums[i] += p;
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Queries; ++i) {
      const V fade = add_exp<Arch>(V(0.0F), queries[i].maximum - maximum[i]);
      queries[i].sum = fma<Arch>(queries[i].sum, fade, sum_lanes<Arch>(sums[i]));
      queries[i].maximum = maximum[i];
      float* out = b.outs[first + i];
      for_each_vector<Arch>(b.head_dim, [out, fade](std::size_t c, std::size_t n) {
        store_n<Arch>(load_n<Arch>(out + c, n) * fade, out + c, n);
      });
    }
  }

  static bool plain(const AttentionBlock& b, std::size_t i) noexcept { return b.softcap == 0.0F && b.slopes[i] == 0.0F; }

  // weigh(), for queries together that see keys of the same vectors: their maxima and sums do not wait for each other.
  template <std::size_t Queries>
  static void weigh_group(const AttentionBlock& b, std::size_t first, Query* queries, std::size_t chunk,
                          float (*scores)[kChunk]) noexcept {
    const auto first_vector = [](const Query& q) { return q.begin / kW; };
    const auto last_vector = [](const Query& q) { return (q.end - 1) / kW; };
    bool together = true;
    for (std::size_t i = 0; i < Queries; ++i) {
      together = together && plain(b, first + i) && first_vector(queries[i]) == first_vector(*queries) &&
                 last_vector(queries[i]) == last_vector(*queries);
    }
    if (together) return weigh<Queries, true>(b, first, queries, chunk, scores);
    for (std::size_t i = 0; i < Queries; ++i) {
      if (plain(b, first + i)) {
        weigh<1, true>(b, first + i, queries + i, chunk, scores + i);
      } else {
        weigh<1, false>(b, first + i, queries + i, chunk, scores + i);
      }
    }
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
    const std::size_t c = mix_whole<Queries, Vectors>(weights, values, head_dim, begin, end, outs, 0);
    if (c < head_dim) mix_columns<Queries, 1, true>(weights, values, head_dim, begin, end, outs, c, head_dim - c);
  }

  // Mixes the whole vectors from component c on, up to Vectors at a time. Returns the component behind them.
  template <std::size_t Queries, std::size_t Vectors>
  static std::size_t mix_whole(float (*weights)[kChunk], const float* values, std::size_t head_dim, std::size_t begin,
                               std::size_t end, float* const* outs, std::size_t c) noexcept {
    for (; c + Vectors * kW <= head_dim; c += Vectors * kW) {
      mix_columns<Queries, Vectors, false>(weights, values, head_dim, begin, end, outs, c, kW);
    }
    if constexpr (Vectors > 1) c = mix_whole<Queries, Vectors / 2>(weights, values, head_dim, begin, end, outs, c);
    return c;
  }

  static void mix_alone(float (*weights)[kChunk], const float* values, std::size_t head_dim, std::size_t begin, std::size_t end,
                        float* const* out) noexcept {
    mix<1, kLoneVectors>(weights, values, head_dim, begin, end, out);
  }

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
};

}  // namespace ffmem::kernels
