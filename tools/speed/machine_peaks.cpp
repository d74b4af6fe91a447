#include "tools/speed/machine_peaks.hpp"

#include <algorithm>
#include <cstddef>

#include "tools/speed/seconds.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#include "ops/cpu/kernels/amx_unit.hpp"
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ffmem::tools {
namespace {

constexpr int kChains = 12;  // enough to hide a latency of 4 at two per cycle, few enough for 16 registers
constexpr int kRounds = 10'000'000;
constexpr int kTries = 8;

constexpr std::size_t kReadBytes = std::size_t{256} << 20;
constexpr std::size_t kLeastReadBytes = std::size_t{64} << 20;  // of a thread: more than its part of any cache
constexpr std::size_t kStreams = 4;                             // that a thread reads at once
constexpr std::size_t kStreamStep = 8;                          // floats that it takes of each in turn

// Each function runs kChains independent chains of kRounds steps and returns something that depends on all.
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
__attribute__((target("avx512f,avx512bf16"))) float run_avx512_bf16(float factor) {
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

// Each step multiplies and adds four bytes in every lane.
__attribute__((target("avx512f,avx512vnni"))) float run_avx512_vnni(float factor) {
  __m512i chain[kChains];
  for (__m512i& c : chain) c = _mm512_set1_epi32(1);
  const __m512i f = _mm512_set1_epi32(static_cast<int>(factor * 1000));
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = _mm512_dpbusd_epi32(chain[j], f, f);
  }
  int sum = 0;
  for (const __m512i& c : chain) sum += _mm512_cvtsi512_si32(c) & 0xff;
  return static_cast<float>(sum);
}

// The same with the instructions before VNNI. The chain goes through the first of them, or the compiler would take the products
// out of the loop.
__attribute__((target("avx512bw"))) float run_avx512_bytes(float factor) {
  __m512i chain[kChains];
  for (__m512i& c : chain) c = _mm512_set1_epi32(1);
  const __m512i f = _mm512_set1_epi32(static_cast<int>(factor * 1000));
  const __m512i ones = _mm512_set1_epi16(1);
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) {
      const __m512i pairs = _mm512_maddubs_epi16(chain[j], f);
      chain[j] = _mm512_add_epi32(f, _mm512_madd_epi16(pairs, ones));
    }
  }
  int sum = 0;
  for (const __m512i& c : chain) sum += _mm512_cvtsi512_si32(c) & 0xff;
  return static_cast<float>(sum);
}

template <WeightFormat Format, int Sums, int X, int Weights>
void multiply_tiles() {
  if constexpr (Format == WeightFormat::bf16) {
    kernels::AmxUnit::dot_bf16<Sums, X, Weights>();
  } else {
    kernels::AmxUnit::dot_int8<Sums, X, Weights>();
  }
}

// A product of tiles, of 16 x 16 x 32 bf16 or 64 bytes, counts as 16 steps.
template <WeightFormat Format>
float run_tiles(float /*factor*/) {
  kernels::AmxUnit::configure(16, 16);
  for (int i = 0; i < kRounds / 16 * kChains / 4; ++i) {
    multiply_tiles<Format, 0, 4, 6>();
    multiply_tiles<Format, 1, 4, 7>();
    multiply_tiles<Format, 2, 5, 6>();
    multiply_tiles<Format, 3, 5, 7>();
  }
  kernels::AmxUnit::release();
  return 0;
}

// Each step multiplies four bytes in every lane of 32 bits and adds them. In int8 one factor's sign is put right first; in int4
// one has four bits and no sign, and products are added in 16 bits.
template <WeightFormat Format>
__attribute__((target("avx2"))) float run_avx2_bytes(float factor) {
  __m256i chain[kChains];
  for (__m256i& c : chain) c = _mm256_set1_epi32(1);
  const __m256i f = _mm256_set1_epi32(static_cast<int>(factor * 1000));
  [[maybe_unused]] const __m256i ones = _mm256_set1_epi16(1);
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) {
      __m256i sum = chain[j];
      __m256i products;
      if constexpr (Format == WeightFormat::int8) {
        asm("vpxor %[ones], %[f], %[products]\n\t"
            "vpmaddubsw %[products], %[f], %[products]\n\t"
            "vpmaddwd %[ones], %[products], %[products]\n\t"
            "vpaddd %[products], %[sum], %[sum]"
            : [sum] "+x"(sum), [products] "=&x"(products)
            : [f] "x"(f), [ones] "x"(ones));
      } else {
        asm("vpmaddubsw %[f], %[f], %[products]\n\t"
            "vpaddw %[products], %[sum], %[sum]"
            : [sum] "+x"(sum), [products] "=&x"(products)
            : [f] "x"(f));
      }
      chain[j] = sum;
    }
  }
  int sum = 0;
  for (const __m256i& c : chain) sum += _mm256_cvtsi256_si32(c) & 0xff;
  return static_cast<float>(sum);
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
#elif defined(__aarch64__)
float run_neon(float factor) {
  float32x4_t chain[kChains];
  for (float32x4_t& c : chain) c = vdupq_n_f32(1.0F);
  const float32x4_t f = vdupq_n_f32(factor);
  for (int i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) chain[j] = vfmaq_f32(f, chain[j], f);
  }
  float sum = 0;
  for (const float32x4_t& c : chain) sum += vgetq_lane_f32(c, 0);
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

/// A loop of one kind of step, and how many multiplications a step has.
struct Loop {
  float (*run)(float factor);
  double products;
};

Loop loop_for([[maybe_unused]] const std::string& isa, [[maybe_unused]] WeightFormat format) {
#if defined(__x86_64__)
  const bool bytes = format == WeightFormat::int8 || format == WeightFormat::int4;
  if (isa == "avx512amx" && format == WeightFormat::bf16) return {run_tiles<WeightFormat::bf16>, 16 * 32};
  if (isa == "avx512amx" && format == WeightFormat::int8) return {run_tiles<WeightFormat::int8>, 16 * 64};
  if (isa == "avx512bf16" && format == WeightFormat::bf16) return {run_avx512_bf16, 32};
  if ((isa == "avx512bf16" || isa == "avx512amx") && bytes) return {run_avx512_vnni, 64};
  if (isa.starts_with("avx512")) return bytes ? Loop{run_avx512_bytes, 64} : Loop{run_avx512, 16};
  if (isa == "avx2" && format == WeightFormat::int8) return {run_avx2_bytes<WeightFormat::int8>, 32};
  if (isa == "avx2" && format == WeightFormat::int4) return {run_avx2_bytes<WeightFormat::int4>, 32};
  if (isa == "avx2") return {run_avx2, 8};
#elif defined(__aarch64__)
  if (isa == "neon64") return {run_neon, 4};
#endif
  return {run_four_lanes, 4};
}

// Read and written anew for each try, so that no try can be left out.
volatile float factor_of_runs = 0.999F;
volatile float kept = 0.0F;

/// Adds up n floats, a multiple of kStreams * kStreamStep, in streams of equal length.
float read_streams(const float* data, std::size_t n) {
  using Four = float __attribute__((vector_size(16), aligned(4), may_alias));
  const std::size_t share = n / kStreams;
  Four sums[2 * kStreams] = {};
  for (std::size_t k = 0; k < share; k += kStreamStep) {
#pragma GCC unroll 8
    for (std::size_t s = 0; s < 2 * kStreams; ++s) {
      sums[s] += *reinterpret_cast<const Four*>(&data[s / 2 * share + k + s % 2 * 4]);
    }
  }
  float total = 0.0F;
  for (const Four& sum : sums) total += sum[0] + sum[1] + sum[2] + sum[3];
  return total;
}

}  // namespace

double flops_per_second(const std::string& isa, WeightFormat format, int n_threads) {
  const Loop loop = loop_for(isa, format);
  float sum = 0;
  const double seconds = seconds_of([&] {
#pragma omp parallel num_threads(n_threads) reduction(+ : sum)
    sum += loop.run(factor_of_runs);
  });
  kept = sum;
  const double rate = 2.0 * kChains * kRounds * loop.products * n_threads / seconds;
  if (format != WeightFormat::bf16 || multiplies_as_f32(isa, format)) return rate;
  return std::max(rate, flops_per_second(isa, WeightFormat::f32, n_threads));
}

bool multiplies_as_f32(const std::string& isa, WeightFormat format) {
  return loop_for(isa, format).run == loop_for(isa, WeightFormat::f32).run;
}

double peak_flops(const std::string& isa, WeightFormat format, int n_threads) {
  double best = 0.0;
  for (int i = 0; i < kTries; ++i) best = std::max(best, flops_per_second(isa, format, n_threads));
  return best;
}

ReadProbe::ReadProbe(int n_threads) : n_threads_(n_threads) {
  const std::size_t n_bytes = std::max(kReadBytes / static_cast<std::size_t>(n_threads), kLeastReadBytes);
  n_ = n_bytes / sizeof(float) / (kStreams * kStreamStep) * (kStreams * kStreamStep);
  data_ = std::make_unique_for_overwrite<float[]>(n_ * static_cast<std::size_t>(n_threads));
  // Each thread writes its own part first: where memory belongs to sockets, it comes from the thread's.
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int t = 0; t < n_threads; ++t) std::fill_n(part(t), n_, 1.0F);
}

double ReadProbe::bytes_per_second() const {
  constexpr int kTimes = 3;
  float sum = 0;
  const double seconds = seconds_of([&] {
    for (int i = 0; i < kTimes; ++i) {
#pragma omp parallel for num_threads(n_threads_) schedule(static) reduction(+ : sum)
      for (int t = 0; t < n_threads_; ++t) sum += read_streams(part(t), n_);
    }
  });
  kept = sum;
  return kTimes * static_cast<double>(n_ * sizeof(float)) * n_threads_ / seconds;
}

double peak_read_bytes(int n_threads) {
  const ReadProbe probe(n_threads);
  double best = 0.0;
  for (int i = 0; i < kTries; ++i) best = std::max(best, probe.bytes_per_second());
  return best;
}

}  // namespace ffmem::tools
