// Float32 products by weights that a checkpoint stores in bf16.
#include <bit>
#include <limits>

#include "ops/quantise.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

// The same numbers in both types, [out, in] by row or by column.
struct BothTypes {
  std::vector<std::uint16_t> bf16;
  std::vector<float> f32;
  std::size_t out;
  std::size_t in;
  bool by_column;

  BothTypes(std::size_t out_, std::size_t in_, bool by_column_) : bf16(out_ * in_), out(out_), in(in_), by_column(by_column_) {
    const std::vector<float> values = normal_values(out * in, 1);
    round_to_bf16(values.data(), values.size(), bf16.data());
    for (const std::uint16_t number : bf16) f32.push_back(f32_from_bf16(number));
  }

  WeightMatrix view(DType dtype) const {
    const void* data = dtype == DType::bf16 ? static_cast<const void*>(bf16.data()) : f32.data();
    return {data, dtype, out, in, by_column ? 1 : in, by_column ? out : 1};
  }
};

Matrix with_zeros(std::size_t rows, std::size_t cols) {
  Matrix x = normal_matrix(rows, cols, 5, 2);
  for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] = i % 7 < 2 ? x.data[i] : 0.0F;
  return x;
}

TEST_CASE("bf16 weights: a float32 product has the bits that the same weights in float32 give, few inputs active or all") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t in : {2, 5, 16, 130, 512, 514, 1100}) {
      for (const std::size_t out : {1, 16, 33, 64, 96, 150}) {
        for (const bool by_column : {false, true}) {
          const BothTypes w(out, in, by_column);
          const std::vector<float> bias = normal_values(out, 2);
          // For sparse inputs: the kernels of this program, on any instruction set.
          const auto reference = backend.prepare(w.view(DType::f32), WeightFormat::f32, Inputs::sparse);
          for (const Inputs inputs : {Inputs::any, Inputs::sparse}) {
            const auto prepared = backend.prepare(w.view(DType::bf16), WeightFormat::f32, inputs);
            CHECK(prepared->format() == WeightFormat::f32);
            for (const std::size_t rows : {1, 2, 6, 8, 9, 10, 200}) {
              CAPTURE(in);
              CAPTURE(out);
              CAPTURE(by_column);
              CAPTURE(inputs);
              CAPTURE(rows);
              for (const Matrix& x : {normal_matrix(rows, in, 3, 5), with_zeros(rows, in)}) {
                for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
                  CHECK(same_bits(product(backend, x.view(), *prepared, b), product(backend, x.view(), *reference, b)));
                }
              }
            }
          }
        }
      }
    }
  });
}

TEST_CASE("bf16 weights: they take the checkpoint's bytes, in whole panels; an odd number of inputs takes float32's") {
  const auto backend = make_cpu_backend();
  const auto owned = [&](std::size_t out, std::size_t in, Inputs inputs) {
    return backend->prepare(BothTypes(out, in, false).view(DType::bf16), WeightFormat::f32, inputs)->owned_bytes();
  };
  CHECK(owned(100, 130, Inputs::any) == 112 * 130 * 2);
  CHECK(owned(100, 131, Inputs::any) == 112 * 131 * 4);
  CHECK(owned(100, 130, Inputs::sparse) == 160 * 130 * 2);  // an odd number of lines of 32 outputs
}

TEST_CASE("bf16 weights: infinite ones make NaN of inputs that are zero, at either place of a line's units") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t at : {std::size_t{3}, std::size_t{19}}) {
      BothTypes w(20, 300, false);
      w.bf16[at * 300 + 6] = 0x7f80;
      const auto prepared = backend.prepare(w.view(DType::bf16), WeightFormat::f32, Inputs::sparse);
      const Matrix y = product(backend, Matrix(1, 300).view(), *prepared, nullptr);
      CHECK(std::isnan(y.row(0)[at]));
      CHECK(y.row(0)[4] == 0.0F);
    }
  });
}

}  // namespace
}  // namespace ffmem
