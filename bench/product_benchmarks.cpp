#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/cpu/cpu_matmul.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/onednn_matmul.hpp"
#include "ops/cpu/packed_matrix.hpp"
#include "ops/dtype.hpp"
#include "ops/quantise.hpp"
#include "ops/rounding.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"

namespace ffmem::bench {
namespace {

using benchmark::State;

/// Who makes weights ready and multiplies by them.
struct Program {
  std::string name;
  std::function<std::unique_ptr<const PreparedMatrix>(const WeightMatrix& w)> prepare;
  std::function<void(ConstMatrixView x, const PreparedMatrix& w, MatrixView y)> product;
  WeightFormat format = WeightFormat::f32;
  bool by_column = false;  // how the weights are stored
  DType dtype = DType::f32;
};

// n normal weights as a file has them, in float32 or bf16.
AlignedBuffer stored_weights(std::size_t n, DType dtype) {
  AlignedBuffer values = normal_values(n, 1);
  if (dtype == DType::f32) return values;
  AlignedBuffer bf16(ceil_div(n, 2));
  round_to_bf16(values.data(), n, reinterpret_cast<std::uint16_t*>(bf16.data()));
  return bf16;
}

// Rows that nobody could tell from what the definition of the format gives: the first, a middle and the last one, as the
// definition takes its time.
bool is_right(ConstMatrixView x, const WeightMatrix& stored, WeightFormat format, ConstMatrixView y) {
  const AlignedBuffer expected(stored.rows);
  const auto reference = make_scalar_backend();
  const auto w = reference->prepare(stored, format);
  return std::ranges::all_of(std::set{std::size_t{0}, x.rows / 2, x.rows - 1}, [&](std::size_t t) {
    reference->matmul(x.rows_between(t, t + 1), *w, nullptr, expected.matrix(1, stored.rows));
    return close(y.rows_between(t, t + 1), expected.matrix(1, stored.rows), 1e-3);
  });
}

// Copies of the weights are taken in turn, so that they come from memory. Shares of the peak of this format's own dot products,
// and of the read rate in prepared bytes.
void matmul(State& state, const std::string& isa, const Program& program, std::size_t rows, std::size_t in, std::size_t out) {
  const ThreadScope threads(bench_threads());
  const AlignedBuffer x = normal_values(rows * in, 2);
  const AlignedBuffer y(rows * out);
  std::vector<AlignedBuffer> stored;  // more than one where they are used in place
  const auto view = [&](const AlignedBuffer& values) {
    return WeightMatrix{values.data(), program.dtype, out, in, program.by_column ? 1 : in, program.by_column ? out : 1};
  };
  std::vector<std::unique_ptr<const PreparedMatrix>> w;
  std::size_t matrix_bytes = 0;
  do {
    if (w.empty() || w.back()->owned_bytes() == 0) stored.push_back(stored_weights(in * out, program.dtype));
    w.push_back(program.prepare(view(stored.back())));
    matrix_bytes = w.back()->owned_bytes() == 0 ? stored.back().bytes() : w.back()->owned_bytes();
  } while (w.size() < copies_in_turn(matrix_bytes));
  program.product(x.matrix(rows, in), *w[0], y.matrix(rows, out));
  if (!is_right(x.matrix(rows, in), view(stored[0]), program.format, y.matrix(rows, out))) {
    return skip_as_wrong(state);
  }
  const Work work{.flops = 2.0 * static_cast<double>(rows * in * out),
                  .bytes = rows == 1 ? static_cast<double>(matrix_bytes) : 0.0,
                  .format = program.format};
  time_work(state, isa, work, [&, i = std::size_t{0}]() mutable {
    program.product(x.matrix(rows, in), *w[i], y.matrix(rows, out));
    i = i + 1 == w.size() ? 0 : i + 1;
  });
}

// Rows with a share of the inputs active, in percent. The weights, stored input by input, stay in that order for
// Inputs::sparse; for Inputs::any they become what the backend's other products read.
void matmul_sparse(State& state, const std::string& isa, std::size_t rows, std::size_t percent, Inputs inputs, DType dtype) {
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
  const AlignedBuffer weights = stored_weights(kIn * kOut * kCopies, dtype);
  const WeightMatrix copies{weights.data(), dtype, kIn * kCopies, kOut, kOut, 1};
  const auto copy = [&](std::size_t i) { return copies.row_slice(i * kIn, kIn).transposed(); };
  std::vector<std::unique_ptr<const PreparedMatrix>> w;
  const AlignedBuffer y(rows * kOut);
  for (std::size_t i = 0; i < kCopies; ++i) {
    w.push_back(backend->prepare(copy(i), WeightFormat::f32, inputs));
    backend->matmul(inputs_of(0), *w.back(), nullptr, y.matrix(rows, kOut));  // the first may look through all weights, once
  }
  if (!is_right(inputs_of(0), copy(kCopies - 1), WeightFormat::f32, y.matrix(rows, kOut))) return skip_as_wrong(state);
  std::size_t i = 0;
  for (auto _ : state) {
    backend->matmul(inputs_of(i), *w[i % kCopies], nullptr, y.matrix(rows, kOut));
    ++i;
    benchmark::ClobberMemory();
  }
}

void register_matmul(const std::string& isa, const Program& program) {
  struct Shape {
    std::size_t in;
    std::size_t out;
  };
  for (const Shape shape : {Shape{256, 1024}, {1024, 256}, {768, 3072}, {3072, 768}, {1024, 4096}, {4096, 1024}}) {
    for (const std::size_t rows : std::initializer_list<std::size_t>{1, 4, 16, 64, 512}) {
      const std::string name = program.name + "/" + std::to_string(rows) + "x" + std::to_string(shape.in) + "x" +
                               std::to_string(shape.out) + "/" + isa;
      benchmark::RegisterBenchmark(name.c_str(), [=](State& state) { matmul(state, isa, program, rows, shape.in, shape.out); });
    }
  }
}

void register_matmul_sparse(const std::string& isa, const std::string& by, DType dtype) {
  for (const std::size_t rows : std::initializer_list<std::size_t>{1, 2, 4, 512}) {
    for (const std::size_t percent : std::initializer_list<std::size_t>{5, 10, 20, 40, 80}) {
      if (rows > kMaxSparseRows && percent != 20) continue;  // zeros are multiplied too
      const std::string shape = std::to_string(rows) + "x3072x768/" + std::to_string(percent) + "/" + isa;
      for (const Inputs inputs : {Inputs::sparse, Inputs::any}) {
        std::string name = inputs == Inputs::sparse ? "matmul_sparse" : "matmul_of_sparse";
        name.append(by).append("/").append(shape);
        benchmark::RegisterBenchmark(name.c_str(),
                                     [=](State& state) { matmul_sparse(state, isa, rows, percent, inputs, dtype); });
      }
    }
  }
}

}  // namespace

void register_products(const std::string& isa) {
  register_matmul_sparse(isa, "", DType::f32);
  register_matmul_sparse(isa, "_by_bf16", DType::bf16);
  const KernelTable& kernels = choose_kernels(isa);
  if (kernels.by_onednn) return;  // its packed products are those of avx512bw, its own in register_onednn
  for (const auto& [name, format, dtype] : {std::tuple{"matmul_f32", WeightFormat::f32, DType::f32},
                                            {"matmul_f32_by_bf16", WeightFormat::f32, DType::bf16},
                                            {"matmul_bf16", WeightFormat::bf16, DType::f32},
                                            {"matmul_int8", WeightFormat::int8, DType::f32},
                                            {"matmul_int4", WeightFormat::int4, DType::f32}}) {
    register_matmul(isa,
                    {.name = name,
                     .prepare = [format = format](const WeightMatrix& w) { return std::make_unique<PackedMatrix>(w, format); },
                     .product =
                         [&kernels](ConstMatrixView x, const PreparedMatrix& w, MatrixView y) {
                           const Product product{w, nullptr, y};
                           cpu_matmul(kernels, x, {&product, 1});
                         },
                     .format = format,
                     .dtype = dtype});
  }
}

void register_onednn(const std::string& best_isa) {
  const auto onednn = std::make_shared<OneDnnMatmul>();
  for (const bool by_column : {false, true}) {
    register_matmul(best_isa,
                    {.name = by_column ? "matmul_onednn_by_column" : "matmul_onednn",
                     .prepare = [](const WeightMatrix& w) { return std::make_unique<F32Matrix>(w); },
                     .product = [onednn](ConstMatrixView x, const PreparedMatrix& w,
                                         MatrixView y) { onednn->run(x, dynamic_cast<const F32Matrix&>(w), nullptr, y); },
                     .by_column = by_column});
  }
}

}  // namespace ffmem::bench
