// Products whose inputs are mostly zeros have the dense product's bits.
#include <limits>

#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

// A share of normal values, zeros of either sign elsewhere.
Matrix sparse_matrix(std::size_t rows, std::size_t cols, double share, unsigned seed) {
  Matrix x = normal_matrix(rows, cols, seed, 3);
  std::mt19937 generator(seed + 1);
  std::uniform_real_distribution<double> uniform;
  for (float& value : x.data) {
    if (uniform(generator) >= share) value = std::copysign(0.0F, value);
  }
  return x;
}

// The matrix [out, in] of values stored input by input, once for sparse inputs and once for any.
struct BothWays {
  BothWays(const Backend& backend, const std::vector<float>& values, std::size_t out, std::size_t in)
      : sparse(backend.prepare({values.data(), DType::f32, out, in, 1, out}, WeightFormat::f32, Inputs::sparse)),
        backend_(backend) {}

  Matrix sparse_product(ConstMatrixView x, const float* bias) const {
    Matrix y(x.rows, sparse->rows(), 2);
    backend_.matmul(x, *sparse, bias, y.view());
    return y;
  }

  // The same rows, followed by so many that the product is dense.
  Matrix dense_product(ConstMatrixView x, const float* bias) const {
    Matrix many(x.rows + 6, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) std::copy_n(x.row_data(t), x.cols, many.row(t));
    Matrix y(many.rows, sparse->rows());
    backend_.matmul(many.view(), *sparse, bias, y.view());
    Matrix first(x.rows, sparse->rows(), 2);
    for (std::size_t t = 0; t < x.rows; ++t) std::copy_n(y.row(t), y.cols, first.row(t));
    return first;
  }

  std::unique_ptr<const PreparedMatrix> sparse;

 private:
  const Backend& backend_;
};

TEST_CASE("sparse matmul: any share of active inputs gives the dense product's bits, with any number of rows and threads") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t in : {1, 5, 512, 513, 1700}) {
      for (const std::size_t out : {1, 16, 33, 1030}) {
        const std::vector<float> values = normal_values(in * out, 1);
        const std::vector<float> bias = normal_values(out, 2);
        const BothWays w(backend, values, out, in);
        for (const double share : {0.0, 0.01, 0.15, 0.5, 1.0}) {
          for (const std::size_t rows : {1, 3, 6}) {
            CAPTURE(in);
            CAPTURE(out);
            CAPTURE(share);
            CAPTURE(rows);
            const Matrix x = sparse_matrix(rows, in, share, 3);
            const Matrix expected = w.dense_product(x.view(), bias.data());
            for (const int threads : {1, 2}) {
              const ThreadScope scope(threads);
              CHECK(same_bits(w.sparse_product(x.view(), bias.data()), expected));
            }
          }
          const Matrix x = sparse_matrix(1, in, share, 4);
          CHECK(same_bits(w.sparse_product(x.view(), nullptr), w.dense_product(x.view(), nullptr)));
        }
      }
    }
  });
}

TEST_CASE("sparse matmul: weights of other types give the bits of the same numbers as float32") {
  constexpr std::size_t kIn = 70;
  constexpr std::size_t kOut = 37;
  // Small whole numbers, which every type holds.
  std::vector<float> f32(kIn * kOut);
  std::vector<double> f64(f32.size());
  std::vector<std::uint16_t> f16(f32.size());
  constexpr std::uint16_t kHalves[] = {0xC000, 0xBC00, 0x0000, 0x3C00, 0x4000};  // -2 to 2
  for (std::size_t i = 0; i < f32.size(); ++i) {
    const std::size_t digit = i * 7919 % 5;
    f32[i] = static_cast<float>(digit) - 2.0F;
    f64[i] = f32[i];
    f16[i] = kHalves[digit];
  }
  for_each_isa([&](const Backend& backend) {
    const Matrix x = sparse_matrix(5, kIn, 0.3, 3);
    const auto of = [&](const void* data, DType type) {
      const auto w = backend.prepare({data, type, kOut, kIn, 1, kOut}, WeightFormat::f32, Inputs::sparse);
      return product(backend, x.view(), *w, nullptr);
    };
    const Matrix expected = of(f32.data(), DType::f32);
    CHECK(same_bits(of(f64.data(), DType::f64), expected));
    CHECK(same_bits(of(f16.data(), DType::f16), expected));
  });
}

TEST_CASE("sparse matmul: products too small for a float leave the same zeros") {
  for_each_isa([](const Backend& backend) {
    // The first input's product rounds to -0; the zeros behind it bring the dense sum back to 0. One run: a second would, too.
    std::vector<float> values(std::size_t{500} * 20, 1.0F);
    std::fill_n(values.begin(), 20, -1e-30F);
    const BothWays w(backend, values, 20, 500);
    Matrix x(1, 500);
    x.row(0)[0] = 1e-30F;
    const Matrix found = w.sparse_product(x.view(), nullptr);
    CHECK(same_bits(found, w.dense_product(x.view(), nullptr)));
    CHECK_FALSE(std::signbit(found.row(0)[0]));
  });
}

TEST_CASE("sparse matmul: infinite weights make NaN of zeros, as in the dense product; NaN inputs count as active") {
  for_each_isa([](const Backend& backend) {
    std::vector<float> values = normal_values(std::size_t{300} * 20, 1);
    const Matrix zeros(1, 300);
    Matrix broken = sparse_matrix(2, 300, 0.05, 4);
    broken.row(1)[7] = std::numeric_limits<float>::quiet_NaN();
    {
      const BothWays w(backend, values, 20, 300);
      CHECK(std::isnan(w.sparse_product(broken.view(), nullptr).row(1)[3]));
      CHECK(same_bits(w.sparse_product(broken.view(), nullptr).row(0), w.dense_product(broken.view(), nullptr).row(0), 20));
    }
    values[3] = INFINITY;
    const BothWays w(backend, values, 20, 300);
    CHECK(std::isnan(w.sparse_product(zeros.view(), nullptr).row(0)[3]));
    CHECK(w.sparse_product(zeros.view(), nullptr).row(0)[4] == 0.0F);
  });
}

TEST_CASE("sparse matmul: matrices stored by output give the same bits, other formats take the same call") {
  const std::vector<float> values = normal_values(std::size_t{300} * 20, 1);
  const Matrix x = sparse_matrix(2, 300, 0.1, 2);
  for_each_isa([&](const Backend& backend) {
    const WeightMatrix by_row{values.data(), DType::f32, 20, 300, 300, 1};
    std::vector<float> by_input(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) by_input[i % 300 * 20 + i / 300] = values[i];
    const BothWays w(backend, by_input, 20, 300);
    Matrix y(2, 20);
    backend.matmul(x.view(), *backend.prepare(by_row, WeightFormat::f32, Inputs::sparse), nullptr, y.view());
    CHECK(same_bits(y, w.dense_product(x.view(), nullptr)));
    for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8}) {
      Matrix found(2, 20);
      Matrix expected(2, 20);
      backend.matmul(x.view(), *backend.prepare(by_row, format, Inputs::sparse), nullptr, found.view());
      backend.matmul(x.view(), *backend.prepare(by_row, format), nullptr, expected.view());
      check_close(found.view(), expected.view(), 1e-5, 1e-5);
    }
  });
}

}  // namespace
}  // namespace ffmem
