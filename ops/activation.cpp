#include "ops/activation.hpp"

#include <array>
#include <utility>

namespace ffmem {
namespace {

using Entry = std::pair<std::string_view, Activation>;

constexpr std::array<Entry, 20> kConfigNames{{
    {"relu", Activation::relu},
    {"relu2", Activation::relu2},
    {"gelu", Activation::gelu},
    {"gelu_python", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"gelu_accurate", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_fast},
    {"gelu_10", Activation::gelu_10},
    {"quick_gelu", Activation::quick_gelu},
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"mish", Activation::mish},
    {"relu6", Activation::relu6},
    {"leaky_relu", Activation::leaky_relu},
    {"sigmoid", Activation::sigmoid},
    {"tanh", Activation::tanh},
    {"linear", Activation::linear},
    {"laplace", Activation::laplace},
}};

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) noexcept {
  for (const auto& [config_name, activation] : kConfigNames) {
    if (config_name == name) return activation;
  }
  return std::nullopt;
}

std::string_view name(Activation activation) noexcept {
  switch (activation) {
    case Activation::relu:
      return "relu";
    case Activation::relu2:
      return "relu2";
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::gelu_fast:
      return "gelu_fast";
    case Activation::gelu_10:
      return "gelu_10";
    case Activation::quick_gelu:
      return "quick_gelu";
    case Activation::silu:
      return "silu";
    case Activation::mish:
      return "mish";
    case Activation::relu6:
      return "relu6";
    case Activation::leaky_relu:
      return "leaky_relu";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::tanh:
      return "tanh";
    case Activation::linear:
      return "linear";
    case Activation::laplace:
      return "laplace";
  }
  return "";
}

std::string known_activation_names() {
  std::string names;
  for (const auto& entry : kConfigNames) {
    if (!names.empty()) names += ", ";
    names += entry.first;
  }
  return names;
}

}  // namespace ffmem
