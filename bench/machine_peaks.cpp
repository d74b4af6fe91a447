#include "bench/machine_peaks.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ffmem::bench {
namespace {

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr int kChains = 12;  // enough to hide a latency of 4 at two per cycle, few enough for 16 registers
constexpr int kRounds = 1'000'000;

// Each function runs kChains independent chains of kRounds multiply-adds and returns something that depends on all.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) float run_avx512(float factor) {
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_set1_ps(1.0F);
  const __m512 f = _mm512_set1_ps(factor);
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = _mm512_fmadd_ps(chain[j], f, f);
  }
  float sum = 0;
  for (const __m512& c : chain) sum += _mm512_cvtss_f32(c);
  return sum;
}

// Each step multiplies and adds a pair of bf16 in every lane.
__attribute__((target("avx512f,avx512bf16"))) float run_bf16_pairs(float factor) {
  __m512 chain[kChains];
  for (__m512& c : chain) c = _mm512_set1_ps(1.0F);
  const auto f = __builtin_bit_cast(__m512bh, _mm512_set1_ps(factor));
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = _mm512_dpbf16_ps(chain[j], f, f);
  }
  float sum = 0;
  for (const __m512& c : chain) sum += _mm512_cvtss_f32(c);
  return sum;
}

__attribute__((target("avx2,fma"))) float run_avx2(float factor) {
  __m256 chain[kChains];
  for (__m256& c : chain) c = _mm256_set1_ps(1.0F);
  const __m256 f = _mm256_set1_ps(factor);
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = _mm256_fmadd_ps(chain[j], f, f);
  }
  float sum = 0;
  for (const __m256& c : chain) sum += _mm256_cvtss_f32(c);
  return sum;
}
#endif

float run_four_lanes(float factor) {
  using Four = float __attribute__((vector_size(16)));
  Four chain[kChains];
  for (Four& c : chain) c = Four{1, 1, 1, 1};
  const Four f = {factor, factor, factor, factor};
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = chain[j] * f + f;
  }
  float sum = 0;
  for (const Four& c : chain) sum += c[0];
  return sum;
}

double best_rate(float (*run)(float), std::size_t lanes) {
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    const double start = seconds_now();
    benchmark::DoNotOptimize(run(0.999F));
    best = std::max(best, 2.0 * kChains * kRounds * static_cast<double>(lanes) / (seconds_now() - start));
  }
  return best;
}

}  // namespace

double peak_flops(const std::string& isa) {
  static std::map<std::string, double> measured;
  double& rate = measured[isa];
  if (rate != 0) return rate;
#if defined(__x86_64__)
  if (isa == "avx512bf16 bf16") return rate = best_rate(run_bf16_pairs, 32);
  if (isa.starts_with("avx512")) return rate = best_rate(run_avx512, 16);
  if (isa == "avx2") return rate = best_rate(run_avx2, 8);
#endif
  return rate = best_rate(run_four_lanes, 4);
}

double peak_read_bytes() {
  constexpr std::size_t kStreams = 4;
  const std::vector<float> data(std::size_t{64} << 20, 1.0F);
  const std::size_t share = data.size() / kStreams;
  using Four = float __attribute__((vector_size(16), aligned(4), may_alias));
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const double start = seconds_now();
    Four sums[2 * kStreams] = {};
    for (std::size_t k = 0; k < share; k += 8) {
#pragma GCC unroll 8
      for (std::size_t s = 0; s < 2 * kStreams; ++s) {
        sums[s] += *reinterpret_cast<const Four*>(&data[s / 2 * share + k + s % 2 * 4]);
      }
    }
    benchmark::DoNotOptimize(sums);
    best = std::max(best, static_cast<double>(data.size() * sizeof(float)) / (seconds_now() - start));
  }
  return best;
}

}  // namespace ffmem::bench
