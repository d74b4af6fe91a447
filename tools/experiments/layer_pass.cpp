#include "tools/experiments/layer_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <new>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tools/experiments/layer_rows.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/l2_norm.hpp"
#include "tools/lens.hpp"
#include "tools/number_check.hpp"
#include "tools/progress.hpp"

namespace ffmem::tools {
namespace {

constexpr double kMassShare = 0.9;

constexpr const char* kLogP = "log_p_final";

/// Coefficients that are held at once: enough rows for full-rate products with the vocabulary, and no more.
constexpr std::size_t kCoefficientBytes = std::size_t{1} << 26;

/// |v_i| of every value of the model, [L, d_m].
std::vector<float> value_norms(const Model& model) {
  const ModelConfig& config = model.config();
  std::vector<float> norms;
  std::vector<float> value(config.d_model);
  for (std::size_t layer = 0; layer < config.n_layers; ++layer) {
    for (std::size_t unit = 0; unit < config.d_memory; ++unit) {
      model.value_row(layer, unit, value.data());
      norms.push_back(static_cast<float>(l2_norm(value)));
    }
  }
  return norms;
}

class Pass {
 public:
  Pass(Workbench& bench, const ValuePredictions& values, LayerPass& result)
      : bench_(bench),
        model_(*bench.model()),
        result_(result),
        values_(values),
        value_norms_(value_norms(model_)),
        max_examples_(
            std::min(std::max(kCoefficientBytes / (bench.n_layers() * bench.d_memory() * sizeof(float)), std::size_t{16}),
                     bench.options().triggers.batch_tokens)),
        rows_(model_.config(), 0, max_examples_),
        hidden_(bench.n_layers() * max_examples_ * model_.head().hidden_width()) {}

  void run() {
    const ExampleSet& set = result_.examples;
    std::size_t longest = 0;
    for (const Example& example : set.examples) longest = std::max(longest, example.length + 1);
    const std::size_t max_tokens = std::max(bench_.options().triggers.batch_tokens, longest);
    Session session(bench_.model(), {.max_sequences = max_examples_,
                                     .context = std::min(longest, model_.config().max_positions),
                                     .max_batch_tokens = max_tokens,
                                     .keep_cache = false,
                                     .n_threads = bench_.options().model.threads});
    Progress progress("layer pass", static_cast<double>(set.size()), "prefixes", bench_.options().quiet);
    const std::array<Hook*, 1> hooks{&rows_};
    for (std::size_t first = 0; first < set.size();) {
      throw_if_interrupted();
      const ExampleBatch batch = next_batch(set, first, bench_.prefix_token(), max_tokens, max_examples_);
      rows_.begin(batch);
      session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
      score_streams(batch);
      count_memories(batch);
      first += batch.n_examples;
      progress.update(static_cast<double>(first));
    }
  }

 private:
  ConstMatrixView hidden(ConstMatrixView rows, Lens lens) {
    const MatrixView result = hidden_.matrix(rows.rows, model_.head().hidden_width());
    model_.head().to_hidden(rows, lens, result);
    return result;
  }

  /// Row layer * n + slot of `tokens` to its place in the result.
  template <class T>
  void place(const ExampleBatch& batch, const std::vector<T>& found, std::vector<T>& all) const {
    for (std::size_t row = 0; row < found.size(); ++row) {
      all[result_.at(batch.first_example + row % batch.n_examples, row / batch.n_examples)] = found[row];
    }
  }

  void score_streams(const ExampleBatch& batch) {
    const OutputHead& head = model_.head();
    const Lens lens = bench_.options().stream_lens;
    const TopTokens output = head.top_tokens(hidden(rows_.output(), lens), 1);
    check_scores(output.log_probabilities);
    place(batch, output.tokens, result_.output);

    std::vector<TokenId> targets(output.tokens.size());
    for (std::size_t row = 0; row < targets.size(); ++row) {
      targets[row] = result_.final_prediction(batch.first_example + row % batch.n_examples);
    }
    std::vector<float> log_p(targets.size());
    place(batch, head.top_tokens(hidden(rows_.residual(), lens), 1, targets, log_p.data()).tokens, result_.residual);
    check_scores(log_p);
    place(batch, log_p, result_.log_p_final);

    const std::vector<TokenId> ffn = head.top_tokens(hidden(rows_.ffn(), lens), 1).tokens;
    place(batch, ffn, result_.ffn);
    const Lens value_lens = bench_.options().value_lens;
    const bool same = value_lens == lens || !model_.weights().final_norm.present;
    place(batch, same ? ffn : head.top_tokens(hidden(rows_.ffn(), value_lens), 1).tokens, result_.ffn_value_lens);
  }

  /// log_p [layers * examples].
  void check_scores(std::span<const float> log_p) const {
    const std::size_t n = log_p.size() / bench_.n_layers();
    check_numbers(log_p,
                  [&](std::size_t i) { return concat("the probabilities behind layer ", i / n, " on a sampled prefix"); });
  }

  void count_memories(const ExampleBatch& batch) {
    const std::size_t n_rows = bench_.n_layers() * batch.n_examples;
    std::vector<std::vector<ValuePredictions::Open>> open(n_rows);
    // Each row writes its own places: the order does not matter. An exception must not leave the loop.
    std::exception_ptr failed;
#pragma omp parallel for schedule(static)
    for (std::size_t row = 0; row < n_rows; ++row) {
      const std::size_t layer = row / batch.n_examples;
      const std::size_t at = result_.at(batch.first_example + row % batch.n_examples, layer);
      try {
        count_row(layer, rows_.coefficients().row(row), at, open[row]);
      } catch (const std::bad_alloc&) {
#pragma omp critical
        failed = std::current_exception();
      }
    }
    if (failed) std::rethrow_exception(failed);
    std::vector<ValuePredictions::Open> all;
    for (const auto& of_row : open) all.insert(all.end(), of_row.begin(), of_row.end());
    const std::vector<bool> agrees = values_.decide(all);
    for (std::size_t i = 0; i < all.size(); ++i) result_.agree_active[all[i].row] += agrees[i] ? 1 : 0;
  }

  void count_row(std::size_t layer, std::span<const float> m, std::size_t at, std::vector<ValuePredictions::Open>& open) {
    const float above = bench_.options().active_above;
    std::vector<float> masses;
    std::int32_t n_active = 0;
    for (std::size_t i = 0; i < m.size(); ++i) {
      n_active += std::abs(m[i]) > above ? 1 : 0;
      if (m[i] != 0.0F) masses.push_back(std::abs(m[i]) * value_norms_[layer * m.size() + i]);
    }
    const TokenId token = result_.ffn_value_lens[at];
    result_.active[at] = n_active;
    result_.mass[at] = static_cast<std::int32_t>(n_carrying(masses, kMassShare));
    result_.agree_active[at] = static_cast<std::int32_t>(values_.count_weighted(layer, m, token, at, open));
    result_.agree_all[at] = static_cast<std::int32_t>(values_.count_bare(layer, token));
  }

  Workbench& bench_;
  const Model& model_;
  LayerPass& result_;
  const ValuePredictions& values_;
  std::vector<float> value_norms_;
  std::size_t max_examples_;
  LayerRows rows_;
  AlignedBuffer hidden_;
};

/// The names of the arrays in the file, but for log_p_final, which alone holds no whole numbers, and what these are below.
template <class Visit>
void for_each_array(const Model& model, LayerPass& pass, Visit&& visit) {
  const std::size_t counts = model.config().d_memory + 1;
  const std::size_t tokens = model.head().vocab_size();
  visit("active", counts, pass.active);
  visit("mass90", counts, pass.mass);
  visit("agree_active", counts, pass.agree_active);
  visit("agree_all", counts, pass.agree_all);
  visit("ffn_value_lens", tokens, pass.ffn_value_lens);
  visit("residual", tokens, pass.residual);
  visit("ffn", tokens, pass.ffn);
  visit("output", tokens, pass.output);
}

void write(const std::filesystem::path& file, const Origin& metadata, const Model& model, LayerPass& pass) {
  const StoredPrefixes prefixes(pass.examples);
  const std::vector<std::size_t> shape{pass.examples.size(), pass.n_layers};
  std::vector<TensorToWrite> tensors = prefixes.tensors();
  for_each_array(model, pass, [&](const char* name, std::size_t, const std::vector<std::int32_t>& array) {
    tensors.push_back({name, DType::i32, shape, array.data()});
  });
  tensors.push_back({kLogP, DType::f32, shape, pass.log_p_final.data()});
  write_safetensors(file, tensors, prefixes.metadata(metadata));
}

LayerPass read(const SafetensorsFile& file, const Model& model) {
  LayerPass pass{.examples = StoredPrefixes::read(file, model.head().vocab_size()), .n_layers = model.config().n_layers};
  const std::vector<std::size_t> shape{pass.examples.size(), pass.n_layers};
  for_each_array(model, pass, [&](const char* name, std::size_t end, std::vector<std::int32_t>& array) {
    array = stored_array<std::int32_t>(file, name, shape, 0, end);
  });
  pass.log_p_final = stored_array<float>(file, kLogP, shape);
  return pass;
}

}  // namespace

std::size_t n_carrying(std::vector<float>& weights, double share) {
  std::ranges::sort(weights, std::greater<>());
  double total = 0.0;
  for (const float weight : weights) total += static_cast<double>(weight);
  double sum = 0.0;
  std::size_t n = 0;
  while (n < weights.size() && sum < share * total) sum += static_cast<double>(weights[n++]);
  return n;
}

LayerPass measure_layers(Workbench& bench, const ValuePredictions& values, ExampleSet examples) {
  LayerPass pass{.examples = std::move(examples), .n_layers = bench.n_layers()};
  const std::size_t n = pass.examples.size() * pass.n_layers;
  for_each_array(*bench.model(), pass, [&](const char*, std::size_t, auto& array) { array.resize(n); });
  pass.log_p_final.resize(n);
  Pass(bench, values, pass).run();
  return pass;
}

LayerPass layer_pass(Workbench& bench) {
  Origin origin = bench.sample_origin(bench.options().n_examples);
  origin.emplace("format", "ffmem-layer-pass-2");
  origin.emplace("value_lens", lens_name(bench.options().value_lens));
  origin.emplace("stream_lens", lens_name(bench.options().stream_lens));
  origin.emplace("active_above", fmt::format("{}", bench.options().active_above));
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    ExampleSet examples = sample_examples(bench, bench.options().n_examples, "examples");
    LayerPass measured = measure_layers(bench, ValuePredictions(bench), std::move(examples));
    write(file, metadata, *bench.model(), measured);
  };
  return bench.stored("layer-pass", origin, make, [&](const SafetensorsFile& file) { return read(file, *bench.model()); });
}

}  // namespace ffmem::tools
