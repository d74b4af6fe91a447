#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

// Weights [out, in] stored by row or by column, and the view of them.
struct Weights {
  std::vector<float> data;
  WeightMatrix matrix;

  Weights(std::size_t out, std::size_t in, bool by_column, unsigned seed, std::size_t gap = 0) {
    const std::size_t line = (by_column ? out : in) + gap;
    data = normal_values(line * (by_column ? in : out), seed);
    matrix = {data.data(), DType::f32, out, in, by_column ? 1 : line, by_column ? line : 1};
  }
};

TEST_CASE("matmul: matches the scalar version at the edges of vectors, panels and row blocks") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t in : {1, 3, 16, 17, 48, 513}) {
      for (const std::size_t out : {1, 5, 8, 16, 31, 48, 49, 64, 65, 100, 130}) {
        for (const bool by_column : {false, true}) {
          const Weights w(out, in, by_column, 1, 3);
          const std::vector<float> bias = normal_values(out, 2);
          const auto prepared = backend.prepare(w.matrix);
          const auto reference = scalar().prepare(w.matrix);
          for (const std::size_t rows : {0, 1, 2, 5, 6, 7, 9, 10, 13, 19}) {
            CAPTURE(in);
            CAPTURE(out);
            CAPTURE(by_column);
            CAPTURE(rows);
            const Matrix x = normal_matrix(rows, in, 3, 5);
            Matrix found(rows, out, 2);
            Matrix expected(rows, out);
            for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
              backend.matmul(x.view(), *prepared, b, found.view());
              scalar().matmul(x.view(), *reference, b, expected.view());
              // Sums of `in` products of order 1.
              check_close(found.view(), expected.view(), 1e-6, 2e-6 * std::sqrt(static_cast<double>(in)));
            }
          }
        }
      }
    }
  });
}

TEST_CASE("matmul: an epilogue has the bits of the operators after the product") {
  const auto check = [](const Backend& backend) {
    constexpr std::size_t kOut = 133;
    const std::vector<float> bias = normal_values(kOut, 2);
    for (const std::size_t in : {19, 700}) {
      const Weights w(kOut, in, false, 1);
      for (const auto& kind : {std::pair{WeightFormat::f32, Inputs::any},
                               {WeightFormat::f32, Inputs::sparse},
                               {WeightFormat::int8, Inputs::any}}) {
        const auto format = kind.first;
        const auto inputs = kind.second;
        const auto prepared = backend.prepare(w.matrix, format, inputs);
        for (const std::size_t rows : {1, 7, 200}) {
          CAPTURE(in);
          CAPTURE(format);
          CAPTURE(rows);
          Matrix x = normal_matrix(rows, in, 3);
          if (inputs == Inputs::sparse) {
            for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] = i % 5 == 0 ? x.data[i] : 0.0F;
          }
          for (const Activation activation : {Activation::linear, Activation::gelu}) {
            Matrix expected(rows, kOut);
            Matrix expected_sum = normal_matrix(rows, kOut, 4);
            backend.matmul(x.view(), *prepared, bias.data(), expected.view());
            backend.activate(activation, expected.view());
            backend.add(expected_sum.view(), expected.view());
            Matrix found(rows, kOut, 3);
            Matrix found_sum(rows, kOut, 2);
            const Matrix before = normal_matrix(rows, kOut, 4);
            for (std::size_t t = 0; t < rows; ++t) std::copy_n(before.row(t), kOut, found_sum.row(t));
            backend.matmul(x.view(), *prepared, bias.data(), found.view(), {.activation = activation, .sum = found_sum.view()});
            CHECK(same_bits(found, expected));
            CHECK(same_bits(found_sum, expected_sum));
            backend.matmul(x.view(), *prepared, bias.data(), found.view(), {.activation = activation, .sum = {}});
            CHECK(same_bits(found, expected));
            CHECK(same_bits(found_sum, expected_sum));
          }
        }
      }
    }
  };
  check(scalar());
  for_each_isa(check);
}

// Products of x with every matrix, each with an activation and a sum of its own: in one call, or in a call each. The products,
// then the sums.
std::vector<Matrix> multiply(const Backend& backend, const Matrix& x,
                             const std::vector<std::unique_ptr<const PreparedMatrix>>& matrices, const std::vector<float>& bias,
                             bool together) {
  std::vector<Matrix> results;
  results.reserve(2 * matrices.size());
  for (const auto& w : matrices) results.emplace_back(x.rows, w->rows());
  for (const auto& w : matrices) results.push_back(normal_matrix(x.rows, w->rows(), 9));
  std::vector<Product> products;
  for (std::size_t p = 0; p < matrices.size(); ++p) {
    products.push_back(
        {*matrices[p],
         p % 2 == 0 ? bias.data() : nullptr,
         results[p].view(),
         {.activation = p % 3 == 0 ? Activation::gelu : Activation::linear, .sum = results[matrices.size() + p].view()}});
  }
  if (together) {
    backend.matmul(x.view(), products);
  } else {
    for (const Product& product : products) backend.matmul(x.view(), {&product, 1});
  }
  return results;
}

TEST_CASE("matmul: products of the same rows made in one call have the bits of a call each, of matrices of any kind") {
  struct Kind {
    WeightFormat format;
    Inputs inputs = Inputs::any;
  };
  const Kind f32{WeightFormat::f32};
  const Kind int8{WeightFormat::int8};
  const Kind by_input{WeightFormat::f32, Inputs::sparse};
  const std::vector<std::vector<Kind>> calls = {
      {f32, f32, f32}, {int8, int8, int8}, {by_input, by_input}, {f32, f32, int8, int8, by_input, f32}};
  constexpr std::size_t kIn = 200;
  constexpr std::size_t kOuts[] = {100, 16, 3, 1, 130, 64};
  const std::vector<float> bias = normal_values(130, 7);
  for_each_isa([&](const Backend& backend) {
    for (const std::vector<Kind>& call : calls) {
      std::vector<Weights> stored;  // a backend may use them in place
      std::vector<std::unique_ptr<const PreparedMatrix>> matrices;
      for (std::size_t p = 0; p < call.size(); ++p) {
        stored.emplace_back(kOuts[p], kIn, false, static_cast<unsigned>(p));
        matrices.push_back(backend.prepare(stored.back().matrix, call[p].format, call[p].inputs));
      }
      for (const std::size_t rows : {1, 6, 7, 50, 400}) {
        CAPTURE(call.size());
        CAPTURE(rows);
        const Matrix x = normal_matrix(rows, kIn, 8);
        const std::vector<Matrix> alone = multiply(backend, x, matrices, bias, false);
        const std::vector<Matrix> together = multiply(backend, x, matrices, bias, true);
        for (std::size_t i = 0; i < alone.size(); ++i) CHECK(same_bits(together[i], alone[i]));
      }
    }
  });
}

TEST_CASE("matmul: writes nothing between the rows of y") {
  for_each_isa([](const Backend& backend) {
    const Weights w(21, 20, false, 1);
    const auto prepared = backend.prepare(w.matrix);
    for (const std::size_t rows : {1, 9}) {
      const Matrix x = normal_matrix(rows, 20, 2);
      Matrix y(rows, 21, 4);
      std::fill(y.data.begin(), y.data.end(), 77.0F);
      backend.matmul(x.view(), *prepared, nullptr, y.view());
      for (std::size_t t = 0; t < rows; ++t) {
        for (std::size_t i = 21; i < 25; ++i) CHECK(y.row(t)[i] == 77.0F);
      }
    }
  });
}

TEST_CASE("matmul: weights of any type and strides give the products of the converted values") {
  const std::vector<float> values = normal_values(std::size_t{6} * 8 * 2, 1);
  std::vector<std::uint16_t> bf16(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &values[i], sizeof bits);
    bf16[i] = static_cast<std::uint16_t>(bits >> 16);
  }
  const std::vector<WeightMatrix> matrices = {{bf16.data(), DType::bf16, 6, 8, 8, 1},
                                              {bf16.data(), DType::bf16, 6, 8, 1, 6},
                                              {values.data(), DType::f32, 6, 8, 16, 2},
                                              {reinterpret_cast<const std::byte*>(values.data()) + 2, DType::f32, 6, 8, 8, 1}};
  const auto backend = make_cpu_backend();
  const Matrix x = normal_matrix(3, 8, 2);
  for (const WeightMatrix& w : matrices) {
    const auto prepared = backend->prepare(w);
    CHECK(prepared->rows() == 6);
    CHECK(prepared->cols() == 8);
    Matrix y(3, 6);
    backend->matmul(x.view(), *prepared, nullptr, y.view());
    std::vector<float> row(8);
    for (std::size_t o = 0; o < 6; ++o) {
      read_row(w, o, row.data());
      double sum = 0;
      for (std::size_t i = 0; i < 8; ++i) sum += static_cast<double>(row[i]) * x.row(2)[i];
      CHECK(y.row(2)[o] == doctest::Approx(sum).epsilon(1e-5));
    }
  }
}

}  // namespace
}  // namespace ffmem
