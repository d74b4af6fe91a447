// layer_norm and rms_norm of one row, in float32: two passes (mean, then variance), each sum in one vector of partial sums.
#pragma once

#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Norm {
  using V = Vec<Arch>;
  static constexpr std::size_t kW = kWidth<Arch>;

  // 1 / sqrt(sum / n + epsilon) in every lane.
  static V inverse_root(float sum, std::size_t n, float epsilon) noexcept {
    return V(1.0F) / xsimd::sqrt(V(sum / static_cast<float>(n) + epsilon));
  }

  // sum of (x - mean)² of a row. Lanes past the row's end must not count: they are loaded as 0, not as the mean.
  static float squared_deviations(const float* x, std::size_t n, const V& mean) noexcept {
    V squares(0.0F);
    std::size_t i = 0;
    for (; i + kW <= n; i += kW) {
      const V d = load<Arch>(x + i) - mean;
      squares = fma<Arch>(d, d, squares);
    }
    if (i < n) {
      const V d =
          xsimd::select(lane_numbers<Arch>() < V(static_cast<float>(n - i)), load_first<Arch>(x + i, n - i) - mean, V(0.0F));
      squares = fma<Arch>(d, d, squares);
    }
    return sum_lanes<Arch>(squares);
  }

  static void layer_norm(const float* x, std::size_t n, const float* weight, const float* bias, float epsilon,
                         float* y) noexcept {
    V sums(0.0F);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) { sums += load_n<Arch>(x + i, lanes); });
    const V mean(sum_lanes<Arch>(sums) / static_cast<float>(n));
    const V factor = inverse_root(squared_deviations(x, n, mean), n, epsilon);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      V v = (load_n<Arch>(x + i, lanes) - mean) * factor;
      if (weight != nullptr) v *= load_n<Arch>(weight + i, lanes);
      if (bias != nullptr) v += load_n<Arch>(bias + i, lanes);
      store_n<Arch>(v, y + i, lanes);
    });
  }

  static void rms_norm(const float* x, std::size_t n, const float* weight, float epsilon, float* y) noexcept {
    V squares(0.0F);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      const V v = load_n<Arch>(x + i, lanes);
      squares = fma<Arch>(v, v, squares);
    });
    const V factor = inverse_root(sum_lanes<Arch>(squares), n, epsilon);
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      store_n<Arch>(load_n<Arch>(x + i, lanes) * factor * load_n<Arch>(weight + i, lanes), y + i, lanes);
    });
  }
};

}  // namespace ffmem::kernels
