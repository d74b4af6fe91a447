#include "ops/weight_matrix.hpp"

#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "ops/quantise.hpp"

namespace ffmem {
namespace {

// Stored tensors need not be aligned to their element size.
template <class T>
T load(const std::byte* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

float f32_from_f16(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fffU) << 13;
  if ((half & 0x7c00U) == 0x7c00U) return std::bit_cast<float>(sign | magnitude | 0x7f800000U);  // inf, NaN
  // The exponent biases differ by 112; the product is exact, for subnormals too.
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112F));
}

template <class Stored, class Convert>
void convert(const std::byte* in, std::size_t stride, std::size_t n, float* out, Convert to_f32) {
  const std::size_t step = stride * sizeof(Stored);
  for (std::size_t i = 0; i < n; ++i) out[i] = to_f32(load<Stored>(in + i * step));
}

void convert_strided(const std::byte* in, DType dtype, std::size_t stride, std::size_t n, float* out) {
  assert(is_floating(dtype));
  switch (dtype) {
    case DType::f16:
      return convert<std::uint16_t>(in, stride, n, out, f32_from_f16);
    case DType::bf16:
      return convert<std::uint16_t>(in, stride, n, out, f32_from_bf16);
    case DType::f64:
      return convert<double>(in, stride, n, out, [](double x) { return static_cast<float>(x); });
    default:
      return convert<float>(in, stride, n, out, [](float x) { return x; });
  }
}

}  // namespace

void read_row(const WeightMatrix& w, std::size_t row, float* out) {
  assert(row < w.rows);
  const auto* begin = static_cast<const std::byte*>(w.data) + row * w.row_stride * element_bytes(w.dtype);
  if (w.col_stride == 1) {
    convert_to_f32(begin, w.dtype, w.cols, out);
  } else {
    convert_strided(begin, w.dtype, w.col_stride, w.cols, out);
  }
}

void convert_to_f32(const void* data, DType dtype, std::size_t n, float* out) {
  const auto* in = static_cast<const std::byte*>(data);
  // A constant stride lets the compiler vectorise the loop.
  convert_strided(in, dtype, 1, n, out);
}

}  // namespace ffmem
