#include "tools/experiments/softmax_change.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace ffmem::tools {
namespace {

/// Words are taken in chunks that stay in the nearest cache. Every loop over one is elementwise or adds up kLanes sums side by
/// side, so that compilers make vectors of it, and the vectors' width does not change a bit.
constexpr std::size_t kChunk = 256;
constexpr std::size_t kLanes = 16;
using Chunk = std::array<float, kChunk>;

/// Below this the series alone is exact.
constexpr float kSmallChange = 0.34F;

/// (e^x - 1 - x) / x² for |x| <= kSmallChange, Taylor.
inline float series(float x) {
  return 0.5F + x * (1.0F / 6 + x * (1.0F / 24 + x * (1.0F / 120 + x * (1.0F / 720 + x * (1.0F / 5040 + x * (1.0F / 40320))))));
}

/// e^x - 1 - x for kSmallChange <= |x| < kLargestLogitChange; nearer to 0 it has no digits.
inline float exp_remainder(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float f = (x - n * kLn2High) - n * kLn2Low;  // |f| <= ln(2) / 2
  const float power = std::bit_cast<float>((std::bit_cast<std::int32_t>(shifted) + 127) << 23);
  return power * (1.0F + f + f * f * series(f)) - 1.0F - x;
}

template <class Combine>
float fold(const Chunk& x, float start, Combine combine) {
  std::array<float, kLanes> lanes;
  lanes.fill(start);
  for (std::size_t w = 0; w < kChunk; w += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = combine(lanes[lane], x[w + lane]);
  }
  float result = start;
  for (const float lane : lanes) result = combine(result, lane);
  return result;
}

float sum(const Chunk& x) {
  return fold(x, 0.0F, [](float a, float b) { return a + b; });
}

float largest(const Chunk& x, float start) {
  return fold(x, start, [](float a, float b) { return a < b ? b : a; });
}

/// One chunk; words behind the vocabulary's end have p = 0 and logits of minus infinity.
void add_chunk(const float* p, const float* logits, const float* o, const float* u, float a, float b, SoftmaxChange& change) {
  Chunk delta, size, part;
  for (std::size_t w = 0; w < kChunk; ++w) delta[w] = a * o[w] + b * u[w];
  for (std::size_t w = 0; w < kChunk; ++w) size[w] = std::abs(delta[w]);
  const float largest_here = largest(size, 0.0F);
  change.largest = std::max(change.largest, largest_here);
  for (std::size_t w = 0; w < kChunk; ++w) part[w] = logits[w] + delta[w];
  change.best = largest(part, change.best);
  for (std::size_t w = 0; w < kChunk; ++w) part[w] = p[w] * delta[w];
  change.linear += static_cast<double>(sum(part));
  for (std::size_t w = 0; w < kChunk; ++w) part[w] *= delta[w] * series(delta[w]);
  if (largest_here >= kLargestLogitChange) return;
  if (largest_here >= kSmallChange) {
    Chunk whole;
    for (std::size_t w = 0; w < kChunk; ++w) whole[w] = p[w] * exp_remainder(delta[w]);
    for (std::size_t w = 0; w < kChunk; ++w) part[w] = size[w] < kSmallChange ? part[w] : whole[w];
  }
  change.remainder += static_cast<double>(sum(part));
}

}  // namespace

void add_block(const float* p, const float* logits, const float* o, const float* u, float a, float b, std::size_t n,
               SoftmaxChange& change) {
  std::size_t w = 0;
  for (; w + kChunk <= n; w += kChunk) add_chunk(p + w, logits + w, o + w, u + w, a, b, change);
  if (w == n) return;
  Chunk last_p{}, last_logits, last_o{}, last_u{};
  last_logits.fill(-INFINITY);
  std::copy(p + w, p + n, last_p.begin());
  std::copy(logits + w, logits + n, last_logits.begin());
  std::copy(o + w, o + n, last_o.begin());
  std::copy(u + w, u + n, last_u.begin());
  add_chunk(last_p.data(), last_logits.data(), last_o.data(), last_u.data(), a, b, change);
}

}  // namespace ffmem::tools
