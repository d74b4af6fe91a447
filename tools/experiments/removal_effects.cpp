#include "tools/experiments/removal_effects.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "runtime/norm.hpp"
#include "tools/experiments/layer_rows.hpp"
#include "tools/experiments/removal_algebra.hpp"
#include "tools/interrupt.hpp"
#include "tools/number_check.hpp"
#include "tools/progress.hpp"

namespace ffmem::tools {
namespace {

/// Whole distributions that are held at once.
constexpr std::size_t kDistributions = 64;

Session session_for(const Workbench& bench, std::size_t longest, std::size_t max_sequences, std::size_t max_tokens) {
  return Session(bench.model(), {.max_sequences = max_sequences,
                                 .context = longest,
                                 .max_batch_tokens = max_tokens,
                                 .keep_cache = false,
                                 .n_threads = bench.options().model.threads});
}

/// Tokens of the longest example's run.
std::size_t longest_run(const Workbench& bench, const ExampleSet& examples) {
  std::size_t longest = 1;
  for (const Example& example : examples.examples) longest = std::max(longest, example.length);
  return longest + (bench.prefix_token() ? 1 : 0);
}

void copy_rows(ConstMatrixView from, AlignedBuffer& to, std::size_t first_row) {
  for (std::size_t r = 0; r < from.rows; ++r) std::ranges::copy(from.row(r), to.data() + (first_row + r) * from.cols);
}

/// Zeroes one memory in each sequence, at the sequence's last position.
class ZeroUnits : public Hook {
 public:
  explicit ZeroUnits(std::size_t layer) : layer_(layer) {}

  void begin(const ExampleBatch& batch, std::span<const std::uint32_t> units) {
    batch_ = &batch;
    units_ = units;
  }

  Access access(Point point, std::size_t layer) const override {
    return point == Point::coefficients && layer == layer_ ? Access::write : Access::none;
  }

  void write(const MutablePointView& view) override {
    for (std::size_t r = 0; r < view.values.rows; ++r) {
      const std::int32_t slot = batch_->slots[view.first_row + r];
      if (slot >= 0) view.values.row(r)[units_[static_cast<std::size_t>(slot)]] = 0.0F;
    }
  }

 private:
  std::size_t layer_;
  const ExampleBatch* batch_ = nullptr;
  std::span<const std::uint32_t> units_;
};

/// Compares the distributions of output vectors with those of the untouched examples.
class Comparison {
 public:
  Comparison(const Workbench& bench, const RemovalInputs& inputs)
      : model_(*bench.model()),
        inputs_(inputs),
        hidden_(kDistributions * model_.head().hidden_width()),
        base_(model_.head().vocab_size()),
        log_p_(kDistributions * model_.head().vocab_size()) {}

  /// output [n, d], o of the last layer without the memory; all of one example, n <= kDistributions.
  void compare(ConstMatrixView output, std::span<Removal* const> removals) {
    const Removal& first = *removals.front();
    if (!has_base_ || base_example_ != first.example) {
      const std::size_t d = model_.config().d_model;
      score(ConstMatrixView(inputs_.output.data() + first.example * d, 1, d), base_.matrix(1, base_.size()));
      base_example_ = first.example;
      has_base_ = true;
    }
    const MatrixView after = log_p_.matrix(output.rows, base_.size());
    score(output, after);
#pragma omp parallel for schedule(static)
    for (std::size_t r = 0; r < output.rows; ++r) fill(after.row(r), *removals[r]);
  }

 private:
  void score(ConstMatrixView output, MatrixView log_p) {
    const MatrixView hidden = hidden_.matrix(output.rows, model_.head().hidden_width());
    model_.head().to_hidden(output, Lens::final_norm, hidden);
    model_.head().log_probabilities(hidden, log_p);
  }

  void fill(std::span<const float> after, Removal& removal) const {
    const auto target = static_cast<std::size_t>(inputs_.prediction[removal.example]);
    double divergence = 0.0;
    for (std::size_t w = 0; w < after.size(); ++w) {
      const auto before = static_cast<double>(base_.data()[w]);
      const double p = std::exp(before);
      if (p != 0.0) divergence += p * (before - static_cast<double>(after[w]));
    }
    removal.divergence = static_cast<float>(std::max(divergence, 0.0));
    removal.log_p_change = after[target] - base_.data()[target];
    removal.top_after = static_cast<TokenId>(std::ranges::max_element(after) - after.begin());
  }

  const Model& model_;
  const RemovalInputs& inputs_;
  AlignedBuffer hidden_;
  AlignedBuffer base_;   // [V], log-probabilities of the example at hand
  AlignedBuffer log_p_;  // [kDistributions, V]
  bool has_base_ = false;
  std::uint32_t base_example_ = 0;
};

/// Calls use(removals of one example, at most kDistributions) over all of `indices`, which ascend.
void for_each_group(const Workbench& bench, std::vector<Removal>& removals, std::span<const std::size_t> indices,
                    const std::function<void(std::span<Removal* const>)>& use) {
  Progress progress("memory effects", static_cast<double>(indices.size()), "removals", bench.options().quiet);
  std::vector<Removal*> group;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    group.push_back(&removals[indices[i]]);
    const bool last = i + 1 == indices.size() || removals[indices[i + 1]].example != group.front()->example;
    if (!last && group.size() < kDistributions) continue;
    throw_if_interrupted();
    use(group);
    group.clear();
    progress.update(static_cast<double>(i + 1));
  }
}

/// o of the last layer without each memory: r + norm(y - m v), and the norm behind it, where the family has them.
void by_output_vectors(const Workbench& bench, const RemovalInputs& inputs, std::vector<Removal>& removals,
                       std::span<const std::size_t> indices) {
  const Model& model = *bench.model();
  const std::size_t d = model.config().d_model;
  const LayerWeights& layer = model.weights().layers[inputs.layer];
  const AlignedBuffer ffn(kDistributions * d);
  const AlignedBuffer output(kDistributions * d);
  std::vector<float> value(d);
  Comparison comparison(bench, inputs);
  for_each_group(bench, removals, indices, [&](std::span<Removal* const> group) {
    const MatrixView y = ffn.matrix(group.size(), d);
    const MatrixView o = output.matrix(group.size(), d);
    for (std::size_t r = 0; r < group.size(); ++r) {
      model.value_row(inputs.layer, group[r]->unit, value.data());
      for (std::size_t i = 0; i < d; ++i) {
        y.row(r)[i] = inputs.ffn.data()[group[r]->example * d + i] - group[r]->coefficient * value[i];
      }
    }
    apply_norm(model.backend(), model.config(), layer.ffn_out, y, y);
    for (std::size_t r = 0; r < group.size(); ++r) {
      const float* residual = inputs.residual.data() + group[r]->example * d;
      for (std::size_t i = 0; i < d; ++i) o.row(r)[i] = residual[i] + y.row(r)[i];
    }
    apply_norm(model.backend(), model.config(), layer.ffn_residual, o, o);
    comparison.compare(o, group);
  });
}

void by_whole_passes(const Workbench& bench, const ExampleSet& examples, const RemovalInputs& inputs,
                     std::vector<Removal>& removals, std::span<const std::size_t> indices) {
  const ModelConfig& config = bench.model()->config();
  const std::size_t longest = longest_run(bench, examples);
  const std::size_t max_tokens = std::max(longest, bench.options().triggers.batch_tokens);
  Session session = session_for(bench, longest, kDistributions, max_tokens);
  ZeroUnits zero(inputs.layer);
  LayerRows rows(config, config.n_layers - 1, kDistributions);
  const std::array<Hook*, 2> hooks{&zero, &rows};
  const AlignedBuffer output(kDistributions * config.d_model);
  Comparison comparison(bench, inputs);
  for_each_group(bench, removals, indices, [&](std::span<Removal* const> group) {
    const auto prefix = examples.prefix(group.front()->example);
    std::vector<TokenId> run(prefix.size() + (bench.prefix_token() ? 1 : 0));
    std::ranges::copy_backward(prefix, run.end());
    if (bench.prefix_token()) run.front() = *bench.prefix_token();
    const std::size_t at_once = max_tokens / run.size();
    for (std::size_t begin = 0; begin < group.size(); begin += at_once) {
      ExampleBatch batch{.first_example = 0, .n_examples = 0, .tokens = {}, .offsets = {0}, .slots = {}};
      std::vector<std::uint32_t> units;
      for (std::size_t r = begin; r < std::min(begin + at_once, group.size()); ++r) {
        batch.tokens.insert(batch.tokens.end(), run.begin(), run.end());
        batch.offsets.push_back(batch.tokens.size());
        batch.slots.resize(batch.tokens.size(), -1);
        batch.slots.back() = static_cast<std::int32_t>(batch.n_examples++);
        units.push_back(group[r]->unit);
      }
      zero.begin(batch, units);
      rows.begin(batch);
      session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
      for (std::size_t r = 0; r < units.size(); ++r) {
        std::ranges::copy(rows.output().row(r), output.data() + (begin + r) * config.d_model);
      }
    }
    comparison.compare(output.matrix(group.size(), config.d_model), group);
  });
}

}  // namespace

RemovalInputs removal_inputs(const Workbench& bench, const ExampleSet& examples, std::size_t layer) {
  const ModelConfig& config = bench.model()->config();
  RemovalInputs inputs{.layer = layer,
                       .coefficients = AlignedBuffer(examples.size() * config.d_memory),
                       .ffn = AlignedBuffer(examples.size() * config.d_model),
                       .residual = AlignedBuffer(examples.size() * config.d_model),
                       .output = AlignedBuffer(examples.size() * config.d_model),
                       .prediction = {}};
  const std::size_t longest = longest_run(bench, examples);
  const std::size_t max_tokens = std::max(longest, bench.options().triggers.batch_tokens);
  Session session = session_for(bench, longest, max_tokens, max_tokens);
  LayerRows rows(config, layer, max_tokens);
  const std::array<Hook*, 1> hooks{&rows};
  for (std::size_t first = 0; first < examples.size();) {
    throw_if_interrupted();
    const ExampleBatch batch = next_batch(examples, first, bench.prefix_token(), max_tokens, max_tokens);
    const std::size_t n = batch.n_examples;
    rows.begin(batch);
    session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
    copy_rows(rows.coefficients().rows_between(0, n), inputs.coefficients, first);
    copy_rows(rows.ffn().rows_between(0, n), inputs.ffn, first);
    copy_rows(rows.residual().rows_between(0, n), inputs.residual, first);
    const std::size_t last = config.n_layers - 1 - layer;
    copy_rows(rows.output().rows_between(last * n, (last + 1) * n), inputs.output, first);
    first += n;
  }
  inputs.prediction = best_tokens(*bench.model(), inputs.output.matrix(examples.size(), config.d_model), Lens::final_norm);
  return inputs;
}

std::vector<TokenId> best_tokens(const Model& model, ConstMatrixView vectors, Lens lens) {
  const AlignedBuffer buffer(vectors.rows * model.head().hidden_width());
  const MatrixView hidden = buffer.matrix(vectors.rows, model.head().hidden_width());
  model.head().to_hidden(vectors, lens, hidden);
  TopTokens top = model.head().top_tokens(hidden, 1);
  check_numbers(top.log_probabilities, [](std::size_t) { return "the probabilities on a sampled prefix"; });
  return std::move(top.tokens);
}

std::vector<Removal> removals_of(const RemovalInputs& inputs, std::size_t n_examples, std::size_t d_memory) {
  std::vector<Removal> removals;
  for (std::size_t e = 0; e < n_examples; ++e) {
    for (std::size_t unit = 0; unit < d_memory; ++unit) {
      const float m = inputs.coefficients.data()[e * d_memory + unit];
      if (m == 0.0F) continue;
      removals.push_back(
          {.example = static_cast<std::uint32_t>(e), .unit = static_cast<std::uint32_t>(unit), .coefficient = m});
    }
  }
  return removals;
}

RemovalMethod removal_method(const Model& model, std::size_t layer) noexcept {
  const ModelConfig& config = model.config();
  // Other weight modes round what goes into a product: the output is no sum of the values any more.
  if (layer + 1 != config.n_layers || model.weight_mode() != WeightMode::f32) return RemovalMethod::whole_passes;
  const LayerWeights& weights = model.weights().layers[layer];
  const bool linear = !weights.ffn_out.present && !weights.ffn_residual.present && config.final_softcap == 0.0F;
  return linear ? RemovalMethod::algebra : RemovalMethod::output_vectors;
}

void compute_removals(const Workbench& bench, const ExampleSet& examples, const RemovalInputs& inputs, RemovalMethod method,
                      std::vector<Removal>& removals) {
  std::vector<std::size_t> indices(removals.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  if (method == RemovalMethod::algebra) {
    indices = removals_by_algebra(bench, inputs, removals);
    std::ranges::sort(indices);
  }
  if (method == RemovalMethod::whole_passes) {
    by_whole_passes(bench, examples, inputs, removals, indices);
  } else if (!indices.empty()) {
    by_output_vectors(bench, inputs, removals, indices);
  }
}

}  // namespace ffmem::tools
