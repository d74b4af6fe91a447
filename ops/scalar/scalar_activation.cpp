#include "ops/scalar/scalar_activation.hpp"

#include <cmath>
#include <numbers>

namespace ffmem {
namespace {

double relu(double x) noexcept { return x < 0 ? 0 : x; }  // keeps NaN

double sigmoid(double x) noexcept { return 1 / (1 + std::exp(-x)); }

// x/2 (1 + erf(x/√2)), without the cancellation for negative x.
double gelu(double x) noexcept { return x / 2 * std::erfc(-x / std::numbers::sqrt2); }

// x/2 (1 + tanh(u)) = x σ(2u), without the cancellation for negative u.
double gelu_of_tanh(double x, double u) noexcept { return x * sigmoid(2 * u); }

double clip(double x, double low, double high) noexcept { return x < low ? low : (x > high ? high : x); }

}  // namespace

double activation_value(Activation activation, double x) noexcept {
  switch (activation) {
    case Activation::relu:
      return relu(x);
    case Activation::relu2:
      return relu(x) * relu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_of_tanh(x, std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x));
    case Activation::gelu_fast:
      return gelu_of_tanh(x, 0.7978845608 * x * (1 + 0.044715 * x * x));
    case Activation::gelu_10:
      return clip(gelu(x), -10, 10);
    case Activation::quick_gelu:
      return x * sigmoid(1.702 * x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::mish:
      return x * std::tanh(std::log1p(std::exp(x)));
    case Activation::relu6:
      return clip(x, 0, 6);
    case Activation::leaky_relu:
      return x > 0 ? x : 0.01 * x;
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::linear:
      return x;
    case Activation::laplace:
      return std::erfc(-(x - 0.707107) / (0.282095 * std::numbers::sqrt2)) / 2;
  }
  return x;
}

}  // namespace ffmem
