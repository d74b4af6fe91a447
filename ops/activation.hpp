// The feed-forward activations and the names that checkpoints give them (Hugging Face `ACT2FN`).
//
// | value      | f(x)                                                            | config names                              |
// | relu       | max(x, 0)                                                       | relu                                      |
// | relu2      | max(x, 0)²                                                      | relu2                                     |
// | gelu       | x/2 (1 + erf(x/√2))                                             | gelu, gelu_python                         |
// | gelu_tanh  | x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))                        | gelu_new, gelu_pytorch_tanh,              |
// |            |                                                                 | gelu_python_tanh, gelu_accurate           |
// | gelu_fast  | x/2 (1 + tanh(0.7978845608 x (1 + 0.044715 x²)))                | gelu_fast; BLOOM's own                    |
// | gelu_10    | gelu(x) clipped to [-10, 10]                                    | gelu_10                                   |
// | quick_gelu | x σ(1.702 x)                                                    | quick_gelu                                |
// | silu       | x σ(x)                                                          | silu, swish                               |
// | mish       | x tanh(log(1 + eˣ))                                             | mish                                      |
// | relu6      | min(max(x, 0), 6)                                               | relu6                                     |
// | leaky_relu | x for x > 0, else 0.01 x                                        | leaky_relu                                |
// | sigmoid    | σ(x)                                                            | sigmoid                                   |
// | tanh       | tanh(x)                                                         | tanh                                      |
// | linear     | x                                                               | linear                                    |
// | laplace    | (1 + erf((x - 0.707107) / (0.282095 √2))) / 2                   | laplace                                   |
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ffmem {

enum class Activation {
  relu,
  relu2,
  gelu,
  gelu_tanh,
  gelu_fast,
  gelu_10,
  quick_gelu,
  silu,
  mish,
  relu6,
  leaky_relu,
  sigmoid,
  tanh,
  linear,
  laplace
};

/// The activation a checkpoint's config means by `name`; nothing if no such name is known.
std::optional<Activation> activation_from_name(std::string_view name) noexcept;

/// The value's own name, as in the table.
std::string_view name(Activation activation) noexcept;

/// All config names known, comma separated, for error messages.
std::string known_activation_names();

}  // namespace ffmem
