#include "bench/operators.hpp"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <utility>

#include "ops/error.hpp"
#include "ops/rounding.hpp"
#include "tools/speed/machine_peaks.hpp"

namespace ffmem::bench {

namespace {

using Clock = std::chrono::steady_clock;

bool found_wrong = false;

// Seconds a call takes, in the mean.
double seconds_each(benchmark::State& state, const std::function<void()>& call, const std::function<void()>& before = {}) {
  Clock::duration untimed{};
  const Clock::time_point start = Clock::now();
  for (auto _ : state) {
    if (before) {
      const Clock::time_point paused = Clock::now();
      state.PauseTiming();
      before();
      state.ResumeTiming();
      untimed += Clock::now() - paused;
    }
    call();
    benchmark::ClobberMemory();
  }
  const std::chrono::duration<double> timed = Clock::now() - start - untimed;
  return timed.count() / static_cast<double>(state.iterations());
}

}  // namespace

int bench_threads() {
  const char* text = std::getenv("FFMEM_BENCH_THREADS");
  if (text == nullptr) return 1;
  int n = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
  if (error != std::errc() || *end != '\0' || n < 1) {
    fail(ErrorCode::argument_invalid, "FFMEM_BENCH_THREADS: expected a whole number, at least 1, found '", text, "'");
  }
  return n;
}

AlignedBuffer normal_values(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  AlignedBuffer values(n);
  for (std::size_t i = 0; i < n; ++i) values.data()[i] = normal(generator);
  return values;
}

std::size_t copies_in_turn(std::size_t bytes) { return ceil_div(std::size_t{128} << 20, bytes); }

bool close(ConstMatrixView a, ConstMatrixView b, double tolerance) {
  for (std::size_t t = 0; t < a.rows; ++t) {
    for (std::size_t i = 0; i < a.cols; ++i) {
      if (!(std::fabs(a.row(t)[i] - b.row(t)[i]) <= tolerance * (1 + std::fabs(b.row(t)[i])))) return false;
    }
  }
  return true;
}

void skip_as_wrong(benchmark::State& state) {
  found_wrong = true;
  state.SkipWithError("wrong result: not what the scalar version gives");
}

bool any_wrong() noexcept { return found_wrong; }

void time_work(benchmark::State& state, const std::string& isa, const Work& work, const std::function<void()>& call) {
  static std::map<std::pair<std::string, WeightFormat>, double> peaks;
  double& peak = peaks[{isa, work.format}];
  if (peak == 0.0) peak = tools::peak_flops(isa, work.format, bench_threads());
  static const double peak_bytes = tools::peak_read_bytes(bench_threads());
  const double seconds = seconds_each(state, call);
  state.counters["FLOP/s"] = work.flops / seconds;
  state.counters["of_peak"] = work.flops / seconds / peak;
  if (work.bytes == 0.0) return;
  state.counters["byte/s"] = work.bytes / seconds;
  state.counters["of_read"] = work.bytes / seconds / peak_bytes;
}

void time_elements(benchmark::State& state, std::size_t n, const std::function<void()>& call,
                   const std::function<void()>& before) {
  state.counters["element/s"] = static_cast<double>(n) / seconds_each(state, call, before);
}

}  // namespace ffmem::bench
