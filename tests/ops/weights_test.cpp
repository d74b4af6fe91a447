// Reading stored weights: element types, layouts, rows.
#include <cstring>
#include <limits>

#include "ops/weight_matrix.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

TEST_CASE("convert_to_f32: f16 values are exact, with subnormals, infinities and NaN") {
  const std::vector<std::uint16_t> half = {0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x83ff,
                                           0x0400, 0x7bff, 0x7c00, 0xfc00, 0x7e01};
  std::vector<float> out(half.size());
  convert_to_f32(half.data(), DType::f16, half.size(), out.data());
  const std::vector<float> expected = {0.0F,          -0.0F,    1.0F,     -2.0F,    0x1p-24F,
                                       -0x1.ff8p-15F, 0x1p-14F, 65504.0F, INFINITY, -INFINITY};
  CHECK(same_bits(out.data(), expected.data(), expected.size()));
  CHECK(std::isnan(out.back()));
}

TEST_CASE("convert_to_f32: bf16 keeps the upper half, f64 rounds to nearest, f32 is copied") {
  const std::vector<std::uint16_t> bf16 = {0x3f80, 0xc049, 0xff80};
  std::vector<float> out(3);
  convert_to_f32(bf16.data(), DType::bf16, 3, out.data());
  CHECK(out == std::vector<float>{1.0F, -3.140625F, -INFINITY});
  const std::vector<double> f64 = {1.0 + 0x1p-24, 1.0 + 0x1.8p-24, -1e300};
  convert_to_f32(f64.data(), DType::f64, 3, out.data());
  CHECK(out == std::vector<float>{1.0F, 1.0F + 0x1p-23F, -INFINITY});
  const std::vector<float> f32 = normal_values(3, 1);
  convert_to_f32(f32.data(), DType::f32, 3, out.data());
  CHECK(out == f32);
}

TEST_CASE("read_row: both orientations and a slice, from data that is not aligned") {
  const std::vector<float> values = normal_values(12, 1);
  std::vector<std::byte> bytes(12 * sizeof(float) + 1);
  std::memcpy(bytes.data() + 1, values.data(), 12 * sizeof(float));
  const WeightMatrix w{bytes.data() + 1, DType::f32, 3, 4, 4, 1};
  std::vector<float> row(4);
  read_row(w, 2, row.data());
  CHECK(same_bits(row.data(), &values[8], 4));
  read_row(w.row_slice(1, 2), 0, row.data());
  CHECK(same_bits(row.data(), &values[4], 4));
  std::vector<float> column(3);
  read_row(w.transposed(), 1, column.data());
  CHECK(column == std::vector<float>{values[1], values[5], values[9]});
}

TEST_CASE("gather_rows: reads any type, any order, any number of times") {
  const std::vector<std::uint16_t> bf16 = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0};  // 1 .. 6
  const std::vector<TokenId> ids = {2, 0, 2};
  for_each_isa([&](const Backend& backend) {
    Matrix out(3, 2, 1);
    backend.gather_rows({bf16.data(), DType::bf16, 3, 2, 2, 1}, ids, out.view());
    CHECK(out.row(0)[0] == 5.0F);
    CHECK(out.row(1)[1] == 2.0F);
    CHECK(out.row(2)[1] == 6.0F);
  });
}

}  // namespace
}  // namespace ffmem
