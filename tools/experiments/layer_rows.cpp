#include "tools/experiments/layer_rows.hpp"

#include <algorithm>

namespace ffmem::tools {

ExampleBatch next_batch(const ExampleSet& set, std::size_t first, std::optional<TokenId> prefix_token, std::size_t max_tokens,
                        std::size_t max_examples) {
  ExampleBatch batch{.first_example = first, .n_examples = 0, .tokens = {}, .offsets = {0}, .slots = {}};
  for (std::size_t i = first; i < set.size() && batch.n_examples < max_examples; ++i) {
    const auto prefix = set.prefix(i);
    const bool same_sentence = i > first && set.examples[i].sentence == set.examples[i - 1].sentence;
    // The sentence is there up to the example before.
    const std::size_t n_there = same_sentence ? set.examples[i - 1].length : 0;
    const std::size_t n_new = prefix.size() - n_there + (!same_sentence && prefix_token ? 1 : 0);
    if (i > first && batch.tokens.size() + n_new > max_tokens) break;
    if (!same_sentence) batch.offsets.push_back(batch.tokens.size());
    if (!same_sentence && prefix_token) batch.tokens.push_back(*prefix_token);
    batch.tokens.insert(batch.tokens.end(), prefix.begin() + static_cast<std::ptrdiff_t>(n_there), prefix.end());
    batch.offsets.back() = batch.tokens.size();
    batch.slots.resize(batch.tokens.size(), -1);
    batch.slots.back() = static_cast<std::int32_t>(batch.n_examples++);
  }
  return batch;
}

LayerRows::LayerRows(const ModelConfig& config, std::size_t first_layer, std::size_t max_examples)
    : d_model_(config.d_model),
      d_memory_(config.d_memory),
      first_layer_(first_layer),
      n_layers_(config.n_layers - first_layer),
      coefficients_(n_layers_ * max_examples * d_memory_),
      residual_(n_layers_ * max_examples * d_model_),
      ffn_(n_layers_ * max_examples * d_model_),
      output_(n_layers_ * max_examples * d_model_) {}

void LayerRows::begin(const ExampleBatch& batch) {
  batch_ = &batch;
  n_ = batch.n_examples;
}

const AlignedBuffer* LayerRows::target(Point point) const {
  switch (point) {
    case Point::coefficients:
      return &coefficients_;
    case Point::residual_mid:
      return &residual_;
    case Point::ffn_out:
      return &ffn_;
    case Point::residual_post:
      return &output_;
    default:
      return nullptr;
  }
}

Hook::Access LayerRows::access(Point point, std::size_t layer) const {
  return target(point) != nullptr && layer >= first_layer_ ? Access::read : Access::none;
}

void LayerRows::read(const PointView& view) {
  const MatrixView into = rows(*target(view.point), view.values.cols);
  for (std::size_t r = 0; r < view.values.rows; ++r) {
    const std::int32_t slot = batch_->slots[view.first_row + r];
    if (slot < 0) continue;
    std::ranges::copy(view.values.row(r), into.row_data((view.layer - first_layer_) * n_ + static_cast<std::size_t>(slot)));
  }
}

}  // namespace ffmem::tools
