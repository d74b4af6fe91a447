// layer_norm and rms_norm of one row, in float32: layer_norm in two passes (mean, then variance), each sum in four vectors of
// partial sums.
#pragma once

#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Norm {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;

  // 1 / sqrt(sum / n + epsilon)
  static V inverse_root(const V& sum, std::size_t n, float epsilon) noexcept {
    return V(1.0F / __builtin_sqrtf(first_lane<Arch>(sum) / static_cast<float>(n) + epsilon));
  }

  // (x - mean)²; lanes past the row's end are 0, not mean².
  static V squared_deviation(const float* x, std::size_t lanes, const V& mean) noexcept {
    const V d = load_n<Arch>(x, lanes) - mean;
    return lanes == kW ? d * d : xsimd::select(lane_numbers<Arch>() < V(static_cast<float>(lanes)), d * d, V(0.0F));
  }

  static void layer_norm(const float* x, std::size_t n, const float* weight, const float* bias, float epsilon,
                         float* y) noexcept {
    const V sum = sum_row<Arch>(n, [x](std::size_t i, std::size_t lanes) { return load_n<Arch>(x + i, lanes); });
    const V mean = divide<Arch>(sum, V(static_cast<float>(n)));
    const V squares =
        sum_row<Arch>(n, [x, mean](std::size_t i, std::size_t lanes) { return squared_deviation(x + i, lanes, mean); });
    const V factor = inverse_root(squares, n, epsilon);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      V v = (load_n<Arch>(x + i, lanes) - mean) * factor;
      if (weight != nullptr) v *= load_n<Arch>(weight + i, lanes);
      if (bias != nullptr) v += load_n<Arch>(bias + i, lanes);
      store_n<Arch>(v, y + i, lanes);
    });
  }

  static void rms_norm(const float* x, std::size_t n, const float* weight, float epsilon, float* y) noexcept {
    const V squares = sum_row<Arch>(n, [x](std::size_t i, std::size_t lanes) {
      const V v = load_n<Arch>(x + i, lanes);
      return v * v;
    });
    const V factor = inverse_root(squares, n, epsilon);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      V v = load_n<Arch>(x + i, lanes) * factor;
      if (weight != nullptr) v *= load_n<Arch>(weight + i, lanes);
      store_n<Arch>(v, y + i, lanes);
    });
  }
};

}  // namespace ffmem::kernels
