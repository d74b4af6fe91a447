// A loaded model: configuration, weights made ready for a backend, output head. Immutable; any number of sessions in any
// number of threads share one.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "loaders/load_checkpoint.hpp"
#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "ops/backend.hpp"
#include "runtime/weight_mode.hpp"

namespace ffmem {

struct ModelOptions {
  std::shared_ptr<const Backend> backend = nullptr;  // null: make_cpu_backend()
  WeightMode weights = WeightMode::f32;
};

/// A linear map ready to run: y = x Wᵀ + bias. Views the Model's weights.
struct PreparedLinear {
  std::shared_ptr<const PreparedMatrix> matrix;  // null where the family has none
  const float* bias = nullptr;                   // [out] or null
  explicit operator bool() const noexcept { return matrix != nullptr; }
};

/// One layer's matrices, prepared; its norms and biases are in ModelWeights.
struct PreparedLayer {
  PreparedLinear query, key, value, output;
  PreparedLinear keys, ups, values;  // values: coefficients [.., d_m] -> y [.., d]
};

class Embedding;  // for the forward pass, not installed
class OutputHead;

class Model {
 public:
  /// Loads `folder` (config.json + safetensors). Throws what load_checkpoint throws, argument_invalid for an instruction set in
  /// FFMEM_ISA that this machine has not, backend_failed, std::bad_alloc.
  static std::shared_ptr<const Model> load(const std::filesystem::path& folder, const ModelOptions& options = {});

  /// The same from a checkpoint already in memory, whose `weights.owned` keeps alive what its matrices view. Throws
  /// config_invalid, tensor_missing, tensor_shape or tensor_dtype where configuration and weights do not fit each other, or
  /// something is given that no pass would read, config_unsupported as OutputHead's constructor does; else as load().
  static std::shared_ptr<const Model> from_checkpoint(LoadedCheckpoint checkpoint, const ModelOptions& options = {});
  ~Model();

  /// What these return is valid as long as the model.
  const ModelConfig& config() const noexcept { return checkpoint_.config; }
  /// As loaded, but for matrices that had to be copied to be viewed (query, key and value of families that group them by head):
  /// they are empty once a layer's own copy stands for them.
  const ModelWeights& weights() const noexcept { return checkpoint_.weights; }
  const Backend& backend() const noexcept { return *backend_; }
  WeightMode weight_mode() const noexcept { return weight_mode_; }
  const PreparedLayer& layer(std::size_t l) const;  // throws layer_out_of_range
  const Embedding& embedding() const noexcept { return *embedding_; }
  const OutputHead& head() const noexcept { return *head_; }

  /// Copies value `unit` of `layer` (that row of the canonical values) to out[0 .. d), as the checkpoint has it in every mode.
  /// Throws layer_/unit_out_of_range.
  void value_row(std::size_t layer, std::size_t unit, float* out) const;

  /// Bytes of the mapped files that no layer's copy stands for: embeddings, the output head, and what is used in place.
  std::size_t mapped_bytes() const noexcept;

  /// Bytes of converted weights held beyond the mapped files; the output head's from its first use or head().prepare().
  std::size_t owned_bytes() const noexcept;

 private:
  Model() = default;
  LoadedCheckpoint checkpoint_;
  std::shared_ptr<const Backend> backend_;
  WeightMode weight_mode_ = WeightMode::f32;
  std::size_t released_bytes_ = 0;
  std::vector<PreparedLayer> layers_;
  std::unique_ptr<const Embedding> embedding_;
  std::unique_ptr<const OutputHead> head_;
};

}  // namespace ffmem
