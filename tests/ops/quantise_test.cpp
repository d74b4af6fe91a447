// Numbers of the formats bf16, int8 and int4, from float32.
#include "ops/quantise.hpp"

#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

TEST_CASE("bf16_from_f32: rounds to nearest even, keeps infinities and NaN") {
  CHECK(bf16_from_f32(1.0F) == 0x3f80);
  CHECK(bf16_from_f32(1.0F + 0x1p-8F) == 0x3f80);  // half way: to even
  CHECK(bf16_from_f32(1.0F + 0x1.8p-7F) == 0x3f82);
  CHECK(bf16_from_f32(1.0F + 0x1.02p-8F) == 0x3f81);
  CHECK(bf16_from_f32(-0.0F) == 0x8000);
  CHECK(bf16_from_f32(3.4e38F) == 0x7f80);
  CHECK(bf16_from_f32(-INFINITY) == 0xff80);
  CHECK(std::isnan(f32_from_bf16(bf16_from_f32(std::nanf("")))));
}

TEST_CASE("quantise_int8: the largest magnitude becomes 127, ties round to even, tiny and broken groups are marked") {
  const std::vector<float> x = {127.0F, -127.0F, 2.5F, 3.5F, -0.4F, 0.0F};
  std::vector<std::int8_t> q(x.size());
  CHECK(quantise_int8(x.data(), x.size(), q.data()) == 1.0F);
  CHECK(q == std::vector<std::int8_t>{127, -127, 2, 4, 0, 0});
  const std::vector<float> tiny = {0x1p-101F, 0.0F};
  CHECK(quantise_int8(tiny.data(), 2, q.data()) == 0.0F);
  const std::vector<float> broken = {1.0F, INFINITY};
  CHECK(std::isnan(quantise_int8(broken.data(), 2, q.data())));
}

TEST_CASE("quantise_int4: every weight is within half a step, constant groups are exact to bf16, broken ones are NaN") {
  std::uint8_t q[32];
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::vector<float> x = normal_values(32, seed);
    for (float& value : x) value += static_cast<float>(seed) - 25.0F;
    const Int4Scale group = quantise_int4(x.data(), 32, q);
    const float scale = f32_from_bf16(group.scale);
    for (std::size_t i = 0; i < 32; ++i) {
      CHECK(q[i] <= 15);
      CHECK(std::fabs(scale * q[i] + f32_from_bf16(group.minimum) - x[i]) <= 0.5001F * scale);
    }
  }
  const std::vector<float> constant(32, -1.5F);
  const Int4Scale group = quantise_int4(constant.data(), 32, q);
  CHECK(f32_from_bf16(group.minimum) == -1.5F);
  CHECK(f32_from_bf16(group.scale) == 0.0F);
  for (const std::vector<float>& broken : {std::vector<float>{1.0F, NAN}, {3e38F, -3.4e38F}}) {
    CHECK(std::isnan(f32_from_bf16(quantise_int4(broken.data(), 2, q).scale)));
  }
}

}  // namespace
}  // namespace ffmem
