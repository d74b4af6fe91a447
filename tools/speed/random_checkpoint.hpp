// Models of known shapes with random weights, made in memory: what a model of that shape costs, without its files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/load_checkpoint.hpp"

namespace ffmem::tools {

struct ModelShape {
  enum class Kind {
    gpt2,   // GELU, learned positions, layer norm, biases, matrices stored [in, out]
    paper,  // fairseq's: ReLU, pre-norm without a final norm, sinusoidal positions, biases, matrices stored [out, in]
    llama,  // gated SiLU, RMS norm, rotary positions, grouped heads, matrices stored [out, in]
  };
  std::string name;
  Kind kind = Kind::gpt2;
  std::size_t n_layers = 0;
  std::size_t d_model = 0;
  std::size_t d_memory = 0;
  std::size_t n_heads = 0;  // divides d_model, into heads of even width
  std::size_t n_kv_heads = 0;
  std::size_t vocab_size = 0;
  std::size_t max_positions = 0;
  std::vector<std::size_t> adaptive_cutoffs{};  // paper only; empty: one table of the words, which is the output matrix too
};

/// Known ones, by name:
///   gpt2, gpt2-medium, gpt2-large   Radford et al. 2019; 50,257 words
///   paper, paper-plain              Geva et al. 2021 (Baevski and Auli 2019); 267,744 words, adaptive or in one table
///   llama-135m, llama-360m          SmolLM2; 49,152 words
///   llama-1b                        Llama 3.2; 128,256 words
const std::vector<ModelShape>& known_shapes();

/// Throws argument_invalid for a name that is unknown, listing those that are known.
const ModelShape& find_shape(std::string_view name);

struct RandomOptions {
  DType stored = DType::f32;         // f32 or bf16: of every matrix
  std::optional<double> activity{};  // (0, 1]: each key's bias is such that this share of a layer's memories is active
  std::uint64_t seed = 1;
};

/// A checkpoint of that shape whose weights view memory of its own; the same weights for the same options. Throws
/// argument_invalid for another stored type, an activity out of range or for a shape whose layers are not plain ReLU layers.
LoadedCheckpoint random_checkpoint(const ModelShape& shape, const RandomOptions& options = {});

}  // namespace ffmem::tools
