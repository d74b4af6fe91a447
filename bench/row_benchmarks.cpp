#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"

namespace ffmem::bench {
namespace {

using benchmark::State;

// Scores of a few tokens over GPT-2's vocabulary.
constexpr std::size_t kTokens = 8;
constexpr std::size_t kWords = 50257;

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
  if (!close(view, expected.matrix(kRows, kCols), 1e-5)) return skip_as_wrong(state);
  time_elements(
      state, kRows * kCols, [&] { apply(*backend, view, other.matrix(kRows, kCols)); }, [&] { restore(x); });
}

void top_k(State& state, const std::string& isa, std::size_t k) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(kTokens * kWords, 1);
  std::vector<std::uint32_t> indices(kTokens * k);
  std::vector<std::uint32_t> expected(kTokens * k);
  std::vector<float> values(kTokens * k);
  std::vector<float> expected_values(kTokens * k);
  backend->top_k(x.matrix(kTokens, kWords), k, indices.data(), values.data());
  make_scalar_backend()->top_k(x.matrix(kTokens, kWords), k, expected.data(), expected_values.data());
  if (indices != expected || values != expected_values) return skip_as_wrong(state);
  time_elements(state, kTokens * kWords, [&] { backend->top_k(x.matrix(kTokens, kWords), k, indices.data(), values.data()); });
}

void log_sum_exp(State& state, const std::string& isa) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(kTokens * kWords, 1);
  const AlignedBuffer out(kTokens);
  const AlignedBuffer expected(kTokens);
  backend->log_sum_exp(x.matrix(kTokens, kWords), out.data());
  make_scalar_backend()->log_sum_exp(x.matrix(kTokens, kWords), expected.data());
  if (!close(out.matrix(1, kTokens), expected.matrix(1, kTokens), 1e-6)) return skip_as_wrong(state);
  time_elements(state, kTokens * kWords, [&] { backend->log_sum_exp(x.matrix(kTokens, kWords), out.data()); });
}

// A sentence's coefficients of 4,096 memories, whose largest a trigger search keeps.
void keep_larger(State& state, const std::string& isa) {
  constexpr std::size_t kRows = 24;
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer x = normal_values(kRows * 4096, 1);
  const auto keep = [&](const Backend& with, std::vector<float>& largest, std::vector<std::int32_t>& rows) {
    std::ranges::fill(largest, 0.0F);
    for (std::size_t r = 0; r < kRows; ++r) {
      with.keep_larger(x.data() + r * 4096, static_cast<std::int32_t>(r), 4096, largest.data(), rows.data());
    }
  };
  std::vector<float> largest(4096);
  std::vector<float> expected(4096);
  std::vector<std::int32_t> rows(4096);
  std::vector<std::int32_t> expected_rows(4096);
  keep(*backend, largest, rows);
  keep(*make_scalar_backend(), expected, expected_rows);
  if (largest != expected || rows != expected_rows) return skip_as_wrong(state);
  time_elements(state, kRows * 4096, [&] { keep(*backend, largest, rows); });
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
  const std::size_t n_expected = make_scalar_backend()->find_above(x.data(), threshold.data(), 4096, expected.data());
  if (!std::ranges::equal(std::span(indices).first(n), std::span(expected).first(n_expected))) {
    return skip_as_wrong(state);
  }
  time_elements(state, 4096,
                [&] { benchmark::DoNotOptimize(backend->find_above(x.data(), threshold.data(), 4096, indices.data())); });
}

// `linear` adds terms of both signs and keeps fewer digits: its measure is the largest of them.
bool is_near(const SoftmaxChange& a, const SoftmaxChange& b) {
  return std::abs(a.linear - b.linear) <= 1e-6 * static_cast<double>(b.largest) &&
         std::abs(a.remainder - b.remainder) <= 1e-5 * b.remainder && a.best_word == b.best_word &&
         std::abs(a.best - b.best) <= 1e-6F * b.best && std::abs(a.largest - b.largest) <= 1e-6F * b.largest;
}

// A memory's change of the distribution over 50,257 words, all arrays in the caches.
void softmax_change(State& state, const std::string& isa) {
  const auto backend = make_cpu_backend(isa);
  const AlignedBuffer p(kWords);
  std::fill_n(p.data(), kWords, 1.0F / kWords);
  const AlignedBuffer logits = normal_values(kWords, 1);
  const AlignedBuffer o = normal_values(kWords, 2);
  const AlignedBuffer u = normal_values(kWords, 3);
  const SoftmaxTerms terms{
      .p = p.data(), .logits = logits.data(), .o = o.data(), .u = u.data(), .a = 1e-4F, .b = 0.02F, .n = kWords};
  SoftmaxChange found;
  SoftmaxChange expected;
  backend->softmax_change(terms, found);
  make_scalar_backend()->softmax_change(terms, expected);
  if (!is_near(found, expected)) return skip_as_wrong(state);
  time_elements(state, kWords, [&] { backend->softmax_change(terms, found); });
}

// 64 rows of a table of 50,257 x 1,024.
void gather_rows(State& state, const std::string& isa, DType dtype) {
  constexpr std::size_t kCols = 1024;
  constexpr std::size_t kRows = 64;
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  AlignedBuffer stored(kWords * kCols);  // room for the widest type
  for (std::size_t i = 0; i < stored.size(); ++i) {
    // A small number of any type, or two of 16 bits, and other ones in every row.
    stored.data()[i] = std::bit_cast<float>(0x3c003c00U | (static_cast<std::uint32_t>(i) * 2654435761U & 0x03ff03ffU));
  }
  const WeightMatrix table{stored.data(), dtype, kWords, kCols, kCols, 1};
  const AlignedBuffer out = normal_values(kRows * kCols, 1);
  const AlignedBuffer expected = normal_values(kRows * kCols, 2);
  std::vector<TokenId> ids(kRows);
  for (std::size_t t = 0; t < kRows; ++t) ids[t] = static_cast<TokenId>(t * 7919 % kWords);
  backend->gather_rows(table, ids, out.matrix(kRows, kCols));
  make_scalar_backend()->gather_rows(table, ids, expected.matrix(kRows, kCols));
  if (!close(out.matrix(kRows, kCols), expected.matrix(kRows, kCols), 0)) return skip_as_wrong(state);
  time_elements(state, kRows * kCols, [&] { backend->gather_rows(table, ids, out.matrix(kRows, kCols)); });
}

void register_in_place(const std::string& isa, const std::string& what, const Apply& apply) {
  benchmark::RegisterBenchmark((what + "/64x1024/" + isa).c_str(), [=](State& state) { in_place(state, isa, apply); });
}

}  // namespace

void register_rows(const std::string& isa) {
  register_in_place(isa, "layer_norm",
                    [](const Backend& b, MatrixView x, ConstMatrixView y) { b.layer_norm(x, y.data, y.data, 1e-5F, x); });
  register_in_place(isa, "rms_norm",
                    [](const Backend& b, MatrixView x, ConstMatrixView y) { b.rms_norm(x, y.data, 1e-5F, x.cols, x); });
  register_in_place(isa, "add", [](const Backend& b, MatrixView x, ConstMatrixView y) { b.add(x, y); });
  register_in_place(isa, "multiply", [](const Backend& b, MatrixView x, ConstMatrixView y) { b.multiply(x, y); });
  register_in_place(isa, "scale", [](const Backend& b, MatrixView x, ConstMatrixView) { b.scale(x, 0.5F); });
  register_in_place(isa, "softcap", [](const Backend& b, MatrixView x, ConstMatrixView) { b.softcap(x, 30.0F); });
  for (const Activation a :
       {Activation::relu, Activation::relu2, Activation::gelu, Activation::gelu_tanh, Activation::gelu_fast,
        Activation::gelu_10, Activation::quick_gelu, Activation::silu, Activation::mish, Activation::relu6,
        Activation::leaky_relu, Activation::sigmoid, Activation::tanh, Activation::laplace}) {  // linear does nothing
    register_in_place(isa, std::string(name(a)), [a](const Backend& b, MatrixView x, ConstMatrixView) { b.activate(a, x); });
  }
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    benchmark::RegisterBenchmark(("gather_rows/" + std::string(name(dtype)) + "/64x1024/" + isa).c_str(),
                                 [=](State& state) { gather_rows(state, isa, dtype); });
  }
  for (const std::size_t k : std::initializer_list<std::size_t>{1, 10, 1000}) {
    benchmark::RegisterBenchmark(("top_k/8x50257/" + std::to_string(k) + "/" + isa).c_str(),
                                 [=](State& state) { top_k(state, isa, k); });
  }
  benchmark::RegisterBenchmark(("log_sum_exp/8x50257/" + isa).c_str(), [=](State& state) { log_sum_exp(state, isa); });
  benchmark::RegisterBenchmark(("keep_larger/24x4096/" + isa).c_str(), [=](State& state) { keep_larger(state, isa); });
  benchmark::RegisterBenchmark(("find_above/4096/" + isa).c_str(), [=](State& state) { find_above(state, isa); });
  benchmark::RegisterBenchmark(("softmax_change/50257/" + isa).c_str(), [=](State& state) { softmax_change(state, isa); });
}

}  // namespace ffmem::bench
