#include "tools/experiments/softmax_change.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace ffmem::tools {
namespace {

/// Sums run in this many lanes, whatever the vector width: the same bits everywhere.
constexpr std::size_t kLanes = 16;

/// e^x - 1 - x for |x| <= kLargestLogitChange, to about 1e-7 of itself. Branch-free, so that compilers make vectors of it.
float exp_remainder(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float f = (x - n * kLn2High) - n * kLn2Low;  // |f| <= ln(2) / 2
  // (e^f - 1 - f) / f², Taylor.
  const auto series = [](float t) {
    return 0.5F +
           t * (1.0F / 6 + t * (1.0F / 24 + t * (1.0F / 120 + t * (1.0F / 720 + t * (1.0F / 5040 + t * (1.0F / 40320))))));
  };
  const float power = std::bit_cast<float>((std::bit_cast<std::int32_t>(shifted) + 127) << 23);
  const float whole = power * (1.0F + f + f * f * series(f)) - 1.0F - x;
  return std::abs(x) < 0.34F ? x * x * series(x) : whole;
}

}  // namespace

void add_block(const float* p, const float* logits, const float* o, const float* u, float a, float b, std::size_t n,
               SoftmaxChange& change) {
  std::array<float, kLanes> linear{};
  std::array<float, kLanes> remainder{};
  std::array<float, kLanes> best;
  std::array<float, kLanes> largest{};
  best.fill(change.best);
  const auto add = [&](std::size_t lane, std::size_t w) {
    const float delta = a * o[w] + b * u[w];
    const float logit = logits[w] + delta;
    const float clipped = std::min(std::max(delta, -kLargestLogitChange), kLargestLogitChange);
    linear[lane] += p[w] * delta;
    remainder[lane] += p[w] * exp_remainder(clipped);
    best[lane] = best[lane] < logit ? logit : best[lane];
    largest[lane] = largest[lane] < std::abs(delta) ? std::abs(delta) : largest[lane];
  };
  std::size_t w = 0;
  for (; w + kLanes <= n; w += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) add(lane, w + lane);
  }
  for (std::size_t lane = 0; w + lane < n; ++lane) add(lane, w + lane);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    change.linear += static_cast<double>(linear[lane]);
    change.remainder += static_cast<double>(remainder[lane]);
    change.best = std::max(change.best, best[lane]);
    change.largest = std::max(change.largest, largest[lane]);
  }
}

}  // namespace ffmem::tools
