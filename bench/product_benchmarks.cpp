#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/cpu/cpu_matmul.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/onednn_matmul.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"

namespace ffmem::bench {
namespace {

using benchmark::State;

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

}  // namespace

void register_products(const std::string& isa) {
  register_matmul_sparse(isa);
  register_matmul_packed(isa);
  register_matmul(isa, "matmul", [&kernels = choose_kernels(isa)](ConstMatrixView x, const WeightMatrix& w, MatrixView y) {
    cpu_matmul(kernels, x, F32Matrix(w), nullptr, y);
  });
}

void register_onednn(const std::string& best_isa) {
  const auto onednn = std::make_shared<OneDnnMatmul>();
  register_matmul(best_isa, "matmul_onednn", [onednn](ConstMatrixView x, const WeightMatrix& w, MatrixView y) {
    onednn->run(x, F32Matrix(w), nullptr, y);
  });
}

}  // namespace ffmem::bench
