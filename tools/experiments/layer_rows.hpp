// The vectors of chosen positions at every layer, gathered from one run of a ragged batch.
#pragma once

#include <cstdint>
#include <vector>

#include "hooks/hook.hpp"
#include "ops/aligned_buffer.hpp"
#include "runtime/session.hpp"
#include "tools/experiments/example_set.hpp"

namespace ffmem::tools {

/// A batch of examples; those of one sentence share one sequence, which is as long as the longest of them.
struct ExampleBatch {
  std::size_t first_example = 0;
  std::size_t n_examples = 0;
  std::vector<TokenId> tokens;
  std::vector<std::size_t> offsets;  // [sequences + 1]
  std::vector<std::int32_t> slots;   // [tokens]: the example (from 0 in this batch) that ends here, or -1
};

/// The batch that begins with example `first`: as many as fit into max_tokens and max_examples, but at least one.
ExampleBatch next_batch(const ExampleSet& set, std::size_t first, std::optional<TokenId> prefix_token, std::size_t max_tokens,
                        std::size_t max_examples);

/// Copies the rows at which examples end. Row layer * n_examples + slot of each matrix.
class LayerRows : public Hook {
 public:
  /// Layers [first_layer, n_layers).
  LayerRows(const ModelConfig& config, std::size_t first_layer, std::size_t max_examples);

  /// Before each run; `batch` must outlive it.
  void begin(const ExampleBatch& batch);

  Access access(Point point, std::size_t layer) const override;
  void read(const PointView& view) override;

  ConstMatrixView coefficients() const { return rows(coefficients_, d_memory_); }  // [layers * n, d_m]
  ConstMatrixView residual() const { return rows(residual_, d_model_); }           // r, [layers * n, d]
  ConstMatrixView ffn() const { return rows(ffn_, d_model_); }                     // y
  ConstMatrixView output() const { return rows(output_, d_model_); }               // o

 private:
  MatrixView rows(const AlignedBuffer& buffer, std::size_t width) const { return buffer.matrix(n_layers_ * n_, width); }
  const AlignedBuffer* target(Point point) const;

  std::size_t d_model_, d_memory_, first_layer_, n_layers_;
  std::size_t n_ = 0;
  const ExampleBatch* batch_ = nullptr;
  AlignedBuffer coefficients_, residual_, ffn_, output_;
};

}  // namespace ffmem::tools
