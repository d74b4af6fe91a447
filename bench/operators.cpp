#include "bench/operators.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <utility>

#include "tools/speed/machine_peaks.hpp"

namespace ffmem::bench {

using benchmark::Counter;

int bench_threads() {
  const char* text = std::getenv("FFMEM_BENCH_THREADS");
  return text == nullptr ? 1 : std::max(1, std::atoi(text));
}

AlignedBuffer normal_values(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  AlignedBuffer values(n);
  for (std::size_t i = 0; i < n; ++i) values.data()[i] = normal(generator);
  return values;
}

bool close(ConstMatrixView a, ConstMatrixView b, double tolerance) {
  for (std::size_t t = 0; t < a.rows; ++t) {
    for (std::size_t i = 0; i < a.cols; ++i) {
      if (!(std::fabs(a.row(t)[i] - b.row(t)[i]) <= tolerance * (1 + std::fabs(b.row(t)[i])))) return false;
    }
  }
  return true;
}

void report_flops(benchmark::State& state, const std::string& isa, double flops, WeightFormat format) {
  static std::map<std::pair<std::string, WeightFormat>, double> peaks;
  double& peak = peaks[{isa, format}];
  if (peak == 0.0) peak = tools::peak_flops(isa, format, bench_threads());
  const double rate = static_cast<double>(state.iterations()) * flops;
  state.counters["FLOP/s"] = Counter(rate, Counter::kIsRate);
  state.counters["of_peak"] = Counter(rate / peak, Counter::kIsRate);
}

void report_bytes(benchmark::State& state, double bytes) {
  static const double peak = tools::peak_read_bytes(bench_threads());
  const double rate = static_cast<double>(state.iterations()) * bytes;
  state.counters["byte/s"] = Counter(rate, Counter::kIsRate);
  state.counters["of_read"] = Counter(rate / peak, Counter::kIsRate);
}

void report_elements(benchmark::State& state, std::size_t n) {
  state.counters["element/s"] = Counter(static_cast<double>(state.iterations() * n), Counter::kIsRate);
}

}  // namespace ffmem::bench
