// The heart of the exactness rules: a row of a product has the same bits for any number of rows and threads.
//
// oneDNN keeps this in places only, which is why the product has kernels of its own beside it. Found with its f32 matmul over
// the shapes below (others may differ, and every shape is tried where it is used, onednn_matmul.hpp): 2.6.3 with AVX-512 keeps
// it everywhere (number of rows and threads; its two layouts differ from each other); 2.6.3 limited to AVX2 or SSE4.1 and 3.7.2
// limited to AVX2 give a row other bits depending on where it falls in a tile, on the number of rows, and on the thread
// split; 3.7.2 with AVX-512 differs between one row and more from 3,072 inputs on.
#include <latch>
#include <thread>
#include <utility>

#include "ops/cpu/onednn_matmul.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

struct Shape {
  std::size_t in;
  std::size_t out;
};

// A model's shapes, long and short sums, and sizes that fit no tile.
const std::vector<Shape> kShapes = {{256, 1024}, {1024, 256}, {256, 256}, {48, 192}, {176, 48}, {1024, 1030}, {4096, 64},
                                    {8192, 32},  {64, 500},   {20, 48},   {513, 77}, {7, 3},    {512, 16},    {1025, 33}};

std::vector<std::size_t> row_counts() {
  std::vector<std::size_t> counts;
  for (std::size_t m = 1; m <= 17; ++m) counts.push_back(m);
  for (const std::size_t m : {31, 32, 33, 63, 64, 65, 127, 129, 255, 257}) counts.push_back(m);
  return counts;
}

// The first `rows` rows of x times w.
Matrix product(const Backend& backend, const Matrix& x, std::size_t rows, const PreparedMatrix& w, const float* bias) {
  Matrix y(rows, w.rows());
  backend.matmul(x.view().rows_between(0, rows), w, bias, y.view());
  return y;
}

// The documented order of the sum, term by term.
float summed_in_order(const float* x, const float* w, std::size_t n, float bias) {
  float total = 0;
  for (std::size_t begin = 0; begin < n; begin += 512) {
    float run = 0;
    for (std::size_t i = begin; i < std::min(n, begin + 512); ++i) run = std::fma(x[i], w[i], run);
    total = begin == 0 ? run : total + run;
  }
  return total + bias;
}

TEST_CASE("matmul: a row's bits do not depend on the number of rows or the number of threads") {
  for_each_isa([](const Backend& backend) {
    for (const Shape& shape : kShapes) {
      CAPTURE(shape.in);
      CAPTURE(shape.out);
      const Matrix x = normal_matrix(257, shape.in, 1);
      const std::vector<float> by_row = normal_values(shape.in * shape.out, 2);
      std::vector<float> by_column(by_row.size());
      for (std::size_t o = 0; o < shape.out; ++o) {
        for (std::size_t i = 0; i < shape.in; ++i) by_column[i * shape.out + o] = by_row[o * shape.in + i];
      }
      const std::vector<float> bias = normal_values(shape.out, 3);
      const auto w_by_row = backend.prepare({by_row.data(), DType::f32, shape.out, shape.in, shape.in, 1});
      const auto w_by_column = backend.prepare({by_column.data(), DType::f32, shape.out, shape.in, 1, shape.out});
      const Matrix all = product(backend, x, x.rows, *w_by_row, bias.data());
      const Matrix all_by_column = product(backend, x, x.rows, *w_by_column, bias.data());
      const auto check = [&](std::size_t rows) {
        CAPTURE(rows);
        CHECK(same_bits(product(backend, x, rows, *w_by_row, bias.data()).row(0), all.row(0), rows * shape.out));
        CHECK(same_bits(product(backend, x, rows, *w_by_column, bias.data()).row(0), all_by_column.row(0), rows * shape.out));
      };
      {
        const ThreadScope one_thread(1);
        for (const std::size_t rows : row_counts()) check(rows);
      }
      for (const int threads : {2, 5}) {
        const ThreadScope scope(threads);
        CAPTURE(threads);
        for (const std::size_t rows : {1, 6, 7, 257}) check(rows);
      }
      // The last row alone is what it was among 257.
      Matrix alone(1, shape.out);
      backend.matmul(x.view().rows_between(256, 257), *w_by_row, bias.data(), alone.view());
      CHECK(same_bits(alone.row(0), all.row(256), shape.out));
    }
  });
}

TEST_CASE("matmul: rows of many parts get the same bits, however the parts fall on threads") {
  for_each_isa([](const Backend& backend) {
    constexpr std::size_t kIn = 17;
    constexpr std::size_t kOut = 130;
    const Matrix x = normal_matrix(5761, kIn, 1);
    const std::vector<float> weights = normal_values(kIn * kOut, 2);
    const auto w = backend.prepare({weights.data(), DType::f32, kOut, kIn, kIn, 1});
    const Matrix all = [&] {
      const ThreadScope one_thread(1);
      return product(backend, x, x.rows, *w, nullptr);
    }();
    for (const int threads : {2, 3, 5, 7}) {
      const ThreadScope scope(threads);
      CAPTURE(threads);
      // Some numbers make fewer parts than a multiple of the threads: their rows are whole tiles.
      for (const std::size_t rows : {385UL, 1000UL, 1345UL, 2881UL, 4033UL, 4861UL, 5761UL}) {
        CAPTURE(rows);
        CHECK(same_bits(product(backend, x, rows, *w, nullptr).row(0), all.row(0), rows * kOut));
      }
    }
  });
}

TEST_CASE(
    "matmul: the backend's own kernels with fused multiply-add sum every element as one chain per 512 inputs, the chains added "
    "in order, then the bias") {
  constexpr std::size_t kIn = 1300;
  constexpr std::size_t kOut = 70;
  const Matrix x = normal_matrix(8, kIn, 1);
  const std::vector<float> w = normal_values(kIn * kOut, 2);
  const std::vector<float> bias = normal_values(kOut, 3);
  for_each_isa([&](const Backend& backend) {
    if (backend.description().find("sse") != std::string::npos) return;     // rounds the product and the sum
    if (backend.description().find("oneDNN") != std::string::npos) return;  // its runs are 512 or 1,024 long
    const auto prepared = backend.prepare({w.data(), DType::f32, kOut, kIn, kIn, 1});
    const Matrix y = product(backend, x, 8, *prepared, bias.data());
    for (std::size_t t = 0; t < 8; ++t) {
      for (std::size_t o = 0; o < kOut; ++o) CHECK(y.row(t)[o] == summed_in_order(x.row(t), &w[o * kIn], kIn, bias[o]));
    }
  });
}

// What is made for a product once or kept between products, with whichever threads want it. Some inputs are zero, others in
// each thread.
template <class Product>
void check_from_many_threads(Product product, std::size_t n_out, std::size_t n_rows = 33) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kRounds = 20;
  Matrix x = normal_matrix(n_rows * kThreads, 300, 1);
  for (std::size_t t = 0; t < x.rows; ++t) {
    for (std::size_t i = t / n_rows; i < x.cols; i += 2 + t / n_rows) x.row(t)[i] = 0.0F;
  }
  const auto part = [&](std::size_t thread) {
    return std::as_const(x).view().rows_between(n_rows * thread, n_rows * (thread + 1));
  };
  std::vector<Matrix> expected(kThreads, Matrix(n_rows, n_out));
  for (std::size_t i = 0; i < kThreads; ++i) product(part(i), expected[i].view());
  std::vector<std::size_t> n_wrong(kThreads, 0);
  {
    std::latch all_there(kThreads);
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const ThreadScope scope(available_threads());
        Matrix y(n_rows, n_out);
        all_there.arrive_and_wait();
        for (std::size_t round = 0; round < kRounds; ++round) {
          product(part(i), y.view());
          n_wrong[i] += same_bits(y, expected[i]) ? 0 : 1;
        }
      });
    }
  }
  CHECK(n_wrong == std::vector<std::size_t>(kThreads, 0));
}

TEST_CASE("matmul: several host threads at once get the bits that one gets") {
  const std::vector<float> values = normal_values(std::size_t{300} * 130, 2);
  const WeightMatrix w{values.data(), DType::f32, 130, 300, 300, 1};
  const OneDnnMatmul onednn;
  const F32Matrix matrix(w);
  check_from_many_threads([&](ConstMatrixView x, MatrixView y) { onednn.run(x, matrix, nullptr, y); }, 130);
  for_each_isa([&](const Backend& backend) {
    for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
      const auto prepared = backend.prepare(w, format);
      check_from_many_threads([&](ConstMatrixView x, MatrixView y) { backend.matmul(x, *prepared, nullptr, y); }, 130);
    }
    const auto sparse = backend.prepare(w, WeightFormat::f32, Inputs::sparse);
    for (const std::size_t n_rows : {1, 6}) {  // so few that only weights of active inputs are read
      CAPTURE(n_rows);
      check_from_many_threads([&](ConstMatrixView x, MatrixView y) { backend.matmul(x, *sparse, nullptr, y); }, 130, n_rows);
    }
  });
}

TEST_CASE("matmul: what oneDNN refuses is an Error, also before there is a primitive") {
  const std::vector<float> values = normal_values(12, 2);
  const F32Matrix matrix({values.data(), DType::f32, 3, 4, 4, 1});
  const OneDnnMatmul onednn;
  const auto too_many = static_cast<std::size_t>(-1);  // a negative dimension to oneDNN
  try {
    onednn.run({values.data(), too_many, 4}, matrix, nullptr, {nullptr, too_many, 3});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::backend_failed);
    CHECK(std::string(error.what()).starts_with("oneDNN: matrix product of ["));
  }
}

}  // namespace
}  // namespace ffmem
