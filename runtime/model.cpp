#include "runtime/model.hpp"

#include <utility>

#include "loaders/resident_pages.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/error.hpp"
#include "runtime/check_checkpoint.hpp"
#include "runtime/embedding.hpp"
#include "runtime/output_head.hpp"

namespace ffmem {
namespace {

Inputs coefficients_of(Activation activation) {
  return activation == Activation::relu || activation == Activation::relu2 ? Inputs::sparse : Inputs::any;
}

// Makes a layer's matrices ready, in one format.
struct Preparation {
  const Backend& backend;
  WeightFormat format;
  Inputs coefficients;  // what the value matrices are multiplied with

  PreparedLinear linear(const WeightMatrix& matrix, const std::vector<float>& bias, Inputs inputs = Inputs::any) const {
    if (matrix.empty()) return {};
    return {backend.prepare(matrix, format, inputs), bias.empty() ? nullptr : bias.data()};
  }

  PreparedLinear linear(const LinearWeights& weights) const { return linear(weights.matrix, weights.bias); }

  PreparedLayer layer(const LayerWeights& weights) const {
    return {.query = linear(weights.query),
            .key = linear(weights.key),
            .value = linear(weights.value),
            .output = linear(weights.output),
            .keys = linear(weights.keys),
            .ups = linear(weights.ups),
            .values = linear(weights.values.transposed(), weights.values_bias, coefficients)};
  }
};

std::size_t bytes_of(const WeightMatrix& w) { return w.rows * w.cols * element_bytes(w.dtype); }

/// What a prepared copy stands for need not stay in memory, too. Returns its bytes in the file.
std::size_t release_copied(const ModelWeights& weights, LayerWeights& stored, const PreparedLayer& prepared) {
  std::size_t bytes = 0;
  const auto release = [&](LinearWeights& linear, const PreparedLinear& of) {
    if (!of) return;
    if (!linear.copy) {
      bytes += release_if_copied(weights, linear.matrix, *of.matrix);
      return;
    }
    bytes += bytes_of(linear.matrix);  // let go of when the copy was made
    if (of.matrix->owned_bytes() == 0) return;
    linear.matrix = {};
    linear.copy.reset();
  };
  release(stored.query, prepared.query);
  release(stored.key, prepared.key);
  release(stored.value, prepared.value);
  release(stored.output, prepared.output);
  release(stored.keys, prepared.keys);
  release(stored.ups, prepared.ups);
  return bytes + release_if_copied(weights, stored.values, *prepared.values.matrix);
}

void check_layer(std::size_t layer, const ModelConfig& config) {
  if (layer < config.n_layers) return;
  fail(ErrorCode::layer_out_of_range, "layer ", layer, ": the model has layers 0 to ", config.n_layers - 1);
}

std::size_t owned(const PreparedLinear& linear) { return linear ? linear.matrix->owned_bytes() : 0; }

}  // namespace

std::shared_ptr<const Model> Model::load(const std::filesystem::path& folder, const ModelOptions& options) {
  return from_checkpoint(load_checkpoint(folder), options);
}

std::shared_ptr<const Model> Model::from_checkpoint(LoadedCheckpoint checkpoint, const ModelOptions& options) {
  std::shared_ptr<Model> model(new Model);
  check_checkpoint(checkpoint);
  model->checkpoint_ = std::move(checkpoint);
  model->backend_ = options.backend ? options.backend : make_cpu_backend();
  const Backend& backend = *model->backend_;
  ModelWeights& weights = model->checkpoint_.weights;
  const WeightFormat format = layer_format(options.weights);
  model->weight_mode_ = options.weights;
  const Preparation preparation{backend, format, coefficients_of(model->checkpoint_.config.activation)};
  for (LayerWeights& layer : weights.layers) {
    model->layers_.push_back(preparation.layer(layer));
    model->released_bytes_ += release_copied(weights, layer, model->layers_.back());
  }
  model->embedding_ = std::make_unique<Embedding>(model->checkpoint_.config, weights, backend, format);
  model->head_ = std::make_unique<OutputHead>(model->checkpoint_.config, weights, backend, head_format(options.weights));
  return model;
}

Model::~Model() = default;

const PreparedLayer& Model::layer(std::size_t l) const {
  check_layer(l, config());
  return layers_[l];
}

void Model::value_row(std::size_t layer, std::size_t unit, float* out) const {
  check_layer(layer, config());
  if (unit >= config().d_memory) {
    fail(ErrorCode::unit_out_of_range, "unit ", unit, ": a layer has memories 0 to ", config().d_memory - 1);
  }
  read_row(weights().layers[layer].values, unit, out);
}

std::size_t Model::mapped_bytes() const noexcept {
  return weights().checkpoint ? static_cast<std::size_t>(weights().checkpoint->file_bytes()) - released_bytes_ : 0;
}

std::size_t Model::owned_bytes() const noexcept {
  std::size_t bytes = embedding_->owned_bytes() + head_->owned_bytes();
  for (const PreparedLayer& layer : layers_) {
    for (const PreparedLinear* linear :
         {&layer.query, &layer.key, &layer.value, &layer.output, &layer.keys, &layer.ups, &layer.values}) {
      bytes += owned(*linear);
    }
  }
  for (const LayerWeights& layer : weights().layers) {
    for (const LinearWeights* linear : {&layer.query, &layer.key, &layer.value}) {
      if (linear->copy) bytes += bytes_of(linear->matrix);
    }
  }
  return bytes;
}

}  // namespace ffmem
