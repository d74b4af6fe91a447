// Micro-benchmarks of the operators, one instruction set at a time, on one thread unless FFMEM_BENCH_THREADS says otherwise.
//
// Every benchmark first compares its operator with the scalar version on the same inputs. Rates: FLOP/s and its share of the
// measured multiply-add peak, or bytes of weights per second and their share of the measured read rate.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "ops/aligned_buffer.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/cpu/cpu_matmul.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/onednn_matmul.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"
#include "tools/speed/machine_peaks.hpp"

namespace ffmem::bench {
namespace {

using benchmark::Counter;
using benchmark::State;

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

void report_flops(State& state, const std::string& isa, double flops, WeightFormat format = WeightFormat::f32) {
  const double rate = static_cast<double>(state.iterations()) * flops;
  state.counters["FLOP/s"] = Counter(rate, Counter::kIsRate);
  state.counters["of_peak"] = Counter(rate / tools::peak_flops(isa, format, bench_threads()), Counter::kIsRate);
}

void report_bytes(State& state, double bytes) {
  static const double peak = tools::peak_read_bytes(bench_threads());
  const double rate = static_cast<double>(state.iterations()) * bytes;
  state.counters["byte/s"] = Counter(rate, Counter::kIsRate);
  state.counters["of_read"] = Counter(rate / peak, Counter::kIsRate);
}

void report_elements(State& state, std::size_t n) {
  state.counters["element/s"] = Counter(static_cast<double>(state.iterations() * n), Counter::kIsRate);
}

using Product = std::function<void(ConstMatrixView x, const WeightMatrix& w, MatrixView y)>;

// Several copies of the weights, taken in turn, so that they come from memory as a large model's do.
void matmul(State& state, const std::string& isa, const Product& product, std::size_t rows, std::size_t in, std::size_t out,
            bool by_column) {
  const ThreadScope threads(bench_threads());
  const std::size_t copies = std::max<std::size_t>(1, (std::size_t{32} << 20) / (in * out));
  const AlignedBuffer weights = normal_values(in * out * copies, 1);
  const AlignedBuffer x = normal_values(rows * in, 2);
  const AlignedBuffer y(rows * out);
  const AlignedBuffer expected(out);
  std::vector<WeightMatrix> w;
  for (std::size_t i = 0; i < copies; ++i) {
    w.push_back({weights.data() + i * in * out, DType::f32, out, in, by_column ? 1 : in, by_column ? out : 1});
  }
  product(x.matrix(rows, in), w[0], y.matrix(rows, out));
  const auto reference = make_scalar_backend();
  reference->matmul(x.matrix(1, in), *reference->prepare(w[0]), nullptr, expected.matrix(1, out));
  if (!close(y.matrix(1, out), expected.matrix(1, out), 1e-3)) return state.SkipWithError("wrong result");
  std::size_t i = 0;
  for (auto _ : state) {
    product(x.matrix(rows, in), w[i], y.matrix(rows, out));
    i = i + 1 == copies ? 0 : i + 1;
    benchmark::ClobberMemory();
  }
  report_flops(state, isa, 2.0 * static_cast<double>(rows * in * out));
  if (rows == 1) report_bytes(state, 4.0 * static_cast<double>(in * out));
}

// One row or few with a share of the inputs active, in percent, by weights that lie input by input.
void matmul_sparse(State& state, const std::string& isa, std::size_t rows, std::size_t percent, Inputs inputs) {
  constexpr std::size_t kIn = 3072;
  constexpr std::size_t kOut = 768;
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  // More inputs than fit the weights' turns, so that all weights are read in time, as over the tokens of a text.
  constexpr std::size_t kTurns = 13;
  const AlignedBuffer x = normal_values(kTurns * rows * kIn, 2);
  const auto inputs_of = [&](std::size_t i) {
    return x.matrix(kTurns * rows, kIn).rows_between(i % kTurns * rows, (i % kTurns + 1) * rows);
  };
  std::mt19937 generator(3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (generator() % 100 >= percent) x.data()[i] = 0.0F;
  }
  constexpr std::size_t kCopies = 14;
  const AlignedBuffer weights = normal_values(kIn * kOut * kCopies, 1);
  std::vector<std::unique_ptr<const PreparedMatrix>> w;
  const AlignedBuffer y(rows * kOut);
  for (std::size_t i = 0; i < kCopies; ++i) {
    w.push_back(backend->prepare({weights.data() + i * kIn * kOut, DType::f32, kOut, kIn, 1, kOut}, WeightFormat::f32, inputs));
  }
  backend->matmul(inputs_of(0), *w.back(), nullptr, y.matrix(rows, kOut));
  const AlignedBuffer expected(kOut);
  const auto reference = make_scalar_backend();
  const WeightMatrix last{weights.data() + (kCopies - 1) * kIn * kOut, DType::f32, kOut, kIn, 1, kOut};
  reference->matmul(x.matrix(1, kIn), *reference->prepare(last), nullptr, expected.matrix(1, kOut));
  if (!close(y.matrix(1, kOut), expected.matrix(1, kOut), 1e-3)) return state.SkipWithError("wrong result");
  std::size_t i = 0;
  for (auto _ : state) {
    backend->matmul(inputs_of(i), *w[i % kCopies], nullptr, y.matrix(rows, kOut));
    ++i;
    benchmark::ClobberMemory();
  }
}

std::string format_name(WeightFormat format) {
  return format == WeightFormat::bf16 ? "bf16" : format == WeightFormat::int8 ? "int8" : "int4";
}

// The same with weights of other formats; 128 MiB of them in all. Shares of the peak of this format's own dot products, and of
// the read rate in packed bytes.
void matmul_packed(State& state, const std::string& isa, WeightFormat format, std::size_t rows, std::size_t in,
                   std::size_t out) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer weights = normal_values(in * out, 1);
  const AlignedBuffer x = normal_values(rows * in, 2);
  const AlignedBuffer y(rows * out);
  const AlignedBuffer expected(out);
  const WeightMatrix stored{weights.data(), DType::f32, out, in, in, 1};
  std::vector<std::unique_ptr<const PreparedMatrix>> w;
  std::size_t bytes = 0;
  while (bytes < (std::size_t{128} << 20)) {
    w.push_back(backend->prepare(stored, format));
    bytes += w.back()->owned_bytes();
  }
  backend->matmul(x.matrix(rows, in), *w[0], nullptr, y.matrix(rows, out));
  const auto reference = make_scalar_backend();
  reference->matmul(x.matrix(1, in), *reference->prepare(stored, format), nullptr, expected.matrix(1, out));
  if (!close(y.matrix(1, out), expected.matrix(1, out), 1e-3)) return state.SkipWithError("wrong result");
  std::size_t i = 0;
  for (auto _ : state) {
    backend->matmul(x.matrix(rows, in), *w[i], nullptr, y.matrix(rows, out));
    i = i + 1 == w.size() ? 0 : i + 1;
    benchmark::ClobberMemory();
  }
  report_flops(state, isa, 2.0 * static_cast<double>(rows * in * out), format);
  if (rows == 1) report_bytes(state, static_cast<double>(w[0]->owned_bytes()));
}

// Prefill of `past + rows` positions' last `rows`, 12 heads of 64.
void attention(State& state, const std::string& isa, std::size_t past, std::size_t rows) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AttentionShape shape{.n_heads = 12, .n_kv_heads = 12, .head_dim = 64, .scale = 0.125F};
  const std::size_t positions = past + rows;
  const std::size_t width = shape.n_heads * shape.head_dim;
  const std::size_t capacity = (positions + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const AlignedBuffer kv = normal_values(positions * width, 1);
  const AlignedBuffer keys(capacity * width);
  const AlignedBuffer values(capacity * width);
  const KvCacheView cache{keys.data(), values.data(), capacity};
  const SequenceRows all{0, positions, 0, cache};
  const SequenceRows last{0, rows, past, cache};
  backend->append_kv(shape, kv.matrix(positions, width), kv.matrix(positions, width), {&all, 1});
  const MatrixView q = kv.matrix(positions, width).rows_between(past, positions);
  const AlignedBuffer out(rows * width);
  const AlignedBuffer expected(rows * width);
  backend->attention(shape, q, {&last, 1}, out.matrix(rows, width));
  make_scalar_backend()->attention(shape, q, {&last, 1}, expected.matrix(rows, width));
  if (!close(out.matrix(rows, width), expected.matrix(rows, width), 1e-4)) return state.SkipWithError("wrong result");
  for (auto _ : state) {
    backend->attention(shape, q, {&last, 1}, out.matrix(rows, width));
    benchmark::ClobberMemory();
  }
  const double pairs = static_cast<double>(rows) * (static_cast<double>(past) + (static_cast<double>(rows) + 1) / 2);
  report_flops(state, isa, 4.0 * static_cast<double>(width) * pairs);
  if (rows == 1) report_bytes(state, 8.0 * static_cast<double>(positions * width));
}

using Apply = std::function<void(const Backend&, MatrixView x, ConstMatrixView y)>;

// An operator that changes x [64, 1024] in place, y being another such matrix. x is restored, untimed, before every call.
void in_place(State& state, const std::string& isa, const Apply& apply) {
  constexpr std::size_t kRows = 64;
  constexpr std::size_t kCols = 1024;
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer input = normal_values(kRows * kCols, 1);
  const AlignedBuffer other = normal_values(kRows * kCols, 2);
  const AlignedBuffer x(kRows * kCols);
  const AlignedBuffer expected(kRows * kCols);
  const MatrixView view = x.matrix(kRows, kCols);
  const auto restore = [&](const AlignedBuffer& b) { std::copy_n(input.data(), input.size(), b.data()); };
  restore(x);
  restore(expected);
  apply(*backend, view, other.matrix(kRows, kCols));
  apply(*make_scalar_backend(), expected.matrix(kRows, kCols), other.matrix(kRows, kCols));
  if (!close(view, expected.matrix(kRows, kCols), 1e-5)) return state.SkipWithError("wrong result");
  for (auto _ : state) {
    state.PauseTiming();
    restore(x);
    state.ResumeTiming();
    apply(*backend, view, other.matrix(kRows, kCols));
    benchmark::ClobberMemory();
  }
  report_elements(state, kRows * kCols);
}

void top_k(State& state, const std::string& isa, std::size_t k) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(8 * 50257, 1);
  std::vector<std::uint32_t> indices(8 * k);
  std::vector<std::uint32_t> expected(8 * k);
  std::vector<float> values(8 * k);
  backend->top_k(x.matrix(8, 50257), k, indices.data(), values.data());
  make_scalar_backend()->top_k(x.matrix(8, 50257), k, expected.data(), values.data());
  if (indices != expected) return state.SkipWithError("wrong result");
  for (auto _ : state) backend->top_k(x.matrix(8, 50257), k, indices.data(), values.data());
  report_elements(state, 8 * 50257);
}

void log_sum_exp(State& state, const std::string& isa) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(8 * 50257, 1);
  const AlignedBuffer out(8);
  const AlignedBuffer expected(8);
  backend->log_sum_exp(x.matrix(8, 50257), out.data());
  make_scalar_backend()->log_sum_exp(x.matrix(8, 50257), expected.data());
  if (!close(out.matrix(1, 8), expected.matrix(1, 8), 1e-6)) return state.SkipWithError("wrong result");
  for (auto _ : state) backend->log_sum_exp(x.matrix(8, 50257), out.data());
  report_elements(state, 8 * 50257);
}

// Thresholds that one element in 2,000 exceeds, as those of a filled trigger store are.
void find_above(State& state, const std::string& isa) {
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(4096, 1);
  const AlignedBuffer threshold(4096);
  std::fill_n(threshold.data(), 4096, 3.3F);
  std::vector<std::uint32_t> indices(4096);
  std::vector<std::uint32_t> expected(4096);
  const std::size_t n = backend->find_above(x.data(), threshold.data(), 4096, indices.data());
  if (n != make_scalar_backend()->find_above(x.data(), threshold.data(), 4096, expected.data())) {
    return state.SkipWithError("wrong result");
  }
  for (auto _ : state) benchmark::DoNotOptimize(backend->find_above(x.data(), threshold.data(), 4096, indices.data()));
  report_elements(state, 4096);
}

void register_in_place(const std::string& isa, const std::string& what, const Apply& apply) {
  benchmark::RegisterBenchmark((what + "/64x1024/" + isa).c_str(), [=](State& state) { in_place(state, isa, apply); });
}

void register_matmul(const std::string& isa, const std::string& what, const Product& product) {
  struct Shape {
    std::size_t in;
    std::size_t out;
  };
  for (const Shape shape : {Shape{256, 1024}, {1024, 256}, {768, 3072}, {3072, 768}, {1024, 4096}, {4096, 1024}}) {
    for (const std::size_t rows : {1, 4, 16, 64, 512}) {
      for (const bool by_column : {false, true}) {
        const std::string name = what + "/" + std::to_string(rows) + "x" + std::to_string(shape.in) + "x" +
                                 std::to_string(shape.out) + (by_column ? "/by_column/" : "/by_row/") + isa;
        benchmark::RegisterBenchmark(name.c_str(),
                                     [=](State& state) { matmul(state, isa, product, rows, shape.in, shape.out, by_column); });
      }
    }
  }
}

void register_matmul_packed(const std::string& isa) {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    for (const auto& [in, out] : {std::pair<std::size_t, std::size_t>{256, 1024}, {768, 3072}, {3072, 768}, {4096, 1024}}) {
      for (const std::size_t rows : {1, 4, 16, 64, 512}) {
        const std::string name = "matmul_" + format_name(format) + "/" + std::to_string(rows) + "x" + std::to_string(in) + "x" +
                                 std::to_string(out) + "/" + isa;
        benchmark::RegisterBenchmark(name.c_str(), [=](State& state) { matmul_packed(state, isa, format, rows, in, out); });
      }
    }
  }
}

void register_matmul_sparse(const std::string& isa) {
  for (const std::size_t rows : {1, 2, 4}) {
    for (const std::size_t percent : {5, 10, 20, 40, 80}) {
      const std::string name = std::to_string(rows) + "x3072x768/" + std::to_string(percent) + "/" + isa;
      for (const Inputs inputs : {Inputs::sparse, Inputs::any}) {
        benchmark::RegisterBenchmark(((inputs == Inputs::sparse ? "matmul_sparse/" : "matmul_of_sparse/") + name).c_str(),
                                     [=](State& state) { matmul_sparse(state, isa, rows, percent, inputs); });
      }
    }
  }
}

void register_all(const std::string& isa) {
  register_matmul_sparse(isa);
  register_matmul_packed(isa);
  register_matmul(isa, "matmul", [&kernels = choose_kernels(isa)](ConstMatrixView x, const WeightMatrix& w, MatrixView y) {
    cpu_matmul(kernels, x, F32Matrix(w), nullptr, y);
  });
  for (const std::size_t n : {256, 512, 1024, 2048}) {
    benchmark::RegisterBenchmark(("attention/prefill/" + std::to_string(n) + "/" + isa).c_str(),
                                 [=](State& state) { attention(state, isa, 0, n); });
    benchmark::RegisterBenchmark(("attention/decode/" + std::to_string(n) + "/" + isa).c_str(),
                                 [=](State& state) { attention(state, isa, n - 1, 1); });
  }
  register_in_place(isa, "layer_norm",
                    [](const Backend& b, MatrixView x, ConstMatrixView y) { b.layer_norm(x, y.data, y.data, 1e-5F, x); });
  register_in_place(isa, "rms_norm",
                    [](const Backend& b, MatrixView x, ConstMatrixView y) { b.rms_norm(x, y.data, 1e-5F, x.cols, x); });
  register_in_place(isa, "add", [](const Backend& b, MatrixView x, ConstMatrixView y) { b.add(x, y); });
  register_in_place(isa, "softcap", [](const Backend& b, MatrixView x, ConstMatrixView) { b.softcap(x, 30.0F); });
  for (const Activation a : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    register_in_place(isa, std::string(name(a)), [a](const Backend& b, MatrixView x, ConstMatrixView) { b.activate(a, x); });
  }
  for (const std::size_t k : {1, 10, 1000}) {
    benchmark::RegisterBenchmark(("top_k/8x50257/" + std::to_string(k) + "/" + isa).c_str(),
                                 [=](State& state) { top_k(state, isa, k); });
  }
  benchmark::RegisterBenchmark(("log_sum_exp/8x50257/" + isa).c_str(), [=](State& state) { log_sum_exp(state, isa); });
  benchmark::RegisterBenchmark(("find_above/4096/" + isa).c_str(), [=](State& state) { find_above(state, isa); });
}

// The other multiplier, which generates code for the machine's best instruction set.
void register_onednn(const std::string& best_isa) {
  const auto onednn = std::make_shared<OneDnnMatmul>();
  register_matmul(best_isa, "matmul_onednn", [onednn](ConstMatrixView x, const WeightMatrix& w, MatrixView y) {
    onednn->run(x, F32Matrix(w), nullptr, y);
  });
}

}  // namespace
}  // namespace ffmem::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const std::string& isa : ffmem::available_isas()) {
    benchmark::AddCustomContext(isa + " peak GFLOP/s per core", std::to_string(ffmem::tools::peak_flops(isa) / 1e9));
    ffmem::bench::register_all(isa);
  }
  ffmem::bench::register_onednn(ffmem::available_isas().front());
  benchmark::AddCustomContext("memory read GB/s, one core", std::to_string(ffmem::tools::peak_read_bytes() / 1e9));
  benchmark::AddCustomContext("threads", std::to_string(ffmem::bench::bench_threads()));
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
