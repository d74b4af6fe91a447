// Elementwise kernels: activations, sums and products, the soft cap. The end of a row goes through the same vector code as
// the rest of it, so an element's result does not depend on where in a row it stands.
#pragma once

#include <numbers>

#include "ops/activation.hpp"
#include "ops/cpu/kernels/functions.hpp"
#include "ops/cpu/kernels/simd.hpp"

namespace ffmem::kernels {

template <class Arch>
struct Elementwise {
  using V = Vec<Arch>;

  template <class F>
  static void transform(float* x, std::size_t n, F f) noexcept {
    for_each_vector<Arch>(
        n, [&](std::size_t i, std::size_t lanes) { store_n<Arch>(f(load_n<Arch>(x + i, lanes)), x + i, lanes); });
  }

  template <class F>
  static void combine(float* x, const float* y, std::size_t n, F f) noexcept {
    for_each_vector<Arch>(n, [&](std::size_t i, std::size_t lanes) {
      store_n<Arch>(f(load_n<Arch>(x + i, lanes), load_n<Arch>(y + i, lanes)), x + i, lanes);
    });
  }

  static void add(float* x, const float* y, std::size_t n) noexcept {
    combine(x, y, n, [](const V& a, const V& b) { return a + b; });
  }

  static void multiply(float* x, const float* y, std::size_t n) noexcept {
    combine(x, y, n, [](const V& a, const V& b) { return a * b; });
  }

  static void scale(float* x, std::size_t n, float factor) noexcept {
    transform(x, n, [factor](const V& v) { return v * V(factor); });
  }

  static V softcap(const V& v, float cap) noexcept { return V(cap) * xsimd::tanh(divide<Arch>(v, V(cap))); }

  static void softcap_row(float* x, std::size_t n, float cap) noexcept {
    transform(x, n, [cap](const V& v) { return softcap(v, cap); });
  }

  static V relu(const V& v) noexcept { return xsimd::select(v < V(0.0F), V(0.0F), v); }  // keeps NaN

  static V clip(const V& v, float low, float high) noexcept {
    return xsimd::select(v < V(low), V(low), xsimd::select(v > V(high), V(high), v));
  }

  // x σ(u)
  static V gate(const V& x, const V& u) noexcept { return divide<Arch>(x, V(1.0F) + exp<Arch>(-u)); }

  static V gelu(const V& v) noexcept { return v * normal_cdf<Arch>(v); }

  // x/2 (1 + tanh(factor (x + 0.044715 x³))) = x σ(2 factor (x + 0.044715 x³)), without the
  // cancellation for negative x.
  static V gelu_of_tanh(const V& v, double factor) noexcept {
    const V inner = fma<Arch>(v * v, V(0.044715F), V(1.0F));
    return gate(v, V(static_cast<float>(2 * factor)) * v * inner);
  }

  // x tanh(log(1 + eˣ)) = x n / (n + 2), n = eˣ (eˣ + 2); from x = 20 on the factor rounds to 1.
  static V mish(const V& v) noexcept {
    const V e = exp<Arch>(xsimd::select(v > V(20.0F), V(20.0F), v));
    const V n = e * (e + V(2.0F));
    return v * divide<Arch>(n, n + V(2.0F));
  }

  static V laplace(const V& v) noexcept { return normal_cdf<Arch>((v - V(0.707107F)) * V(static_cast<float>(1 / 0.282095))); }

  static void activate(Activation activation, float* x, std::size_t n) noexcept {
    switch (activation) {
      case Activation::relu:
        return transform(x, n, [](const V& v) { return relu(v); });
      case Activation::relu2:
        return transform(x, n, [](const V& v) { return relu(v) * relu(v); });
      case Activation::gelu:
        return transform(x, n, [](const V& v) { return gelu(v); });
      case Activation::gelu_tanh:
        return transform(x, n, [](const V& v) { return gelu_of_tanh(v, std::numbers::sqrt2 * std::numbers::inv_sqrtpi); });
      case Activation::gelu_fast:
        return transform(x, n, [](const V& v) { return gelu_of_tanh(v, 0.7978845608); });
      case Activation::gelu_10:
        return transform(x, n, [](const V& v) { return clip(gelu(v), -10.0F, 10.0F); });
      case Activation::quick_gelu:
        return transform(x, n, [](const V& v) { return gate(v, V(1.702F) * v); });
      case Activation::silu:
        return transform(x, n, [](const V& v) { return gate(v, v); });
      case Activation::mish:
        return transform(x, n, [](const V& v) { return mish(v); });
      case Activation::relu6:
        return transform(x, n, [](const V& v) { return clip(v, 0.0F, 6.0F); });
      case Activation::leaky_relu:
        return transform(x, n, [](const V& v) { return xsimd::select(v > V(0.0F), v, V(0.01F) * v); });
      case Activation::sigmoid:
        return transform(x, n, [](const V& v) { return gate(V(1.0F), v); });
      case Activation::tanh:
        return transform(x, n, [](const V& v) { return xsimd::tanh(v); });
      case Activation::linear:
        return;
      case Activation::laplace:
        return transform(x, n, [](const V& v) { return laplace(v); });
    }
  }
};

}  // namespace ffmem::kernels
