#include "tools/experiments/value_scores.hpp"

#include <algorithm>
#include <limits>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/lens.hpp"
#include "tools/progress.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {
namespace {

void score_layer(const Model& model, std::size_t layer, const KeyTargets& keys, Lens lens, ValueSign sign,
                 ValueScores& scores) {
  std::vector<std::size_t> units;
  std::vector<TokenId> targets;
  for (std::size_t unit = 0; unit < keys.tokens.size(); ++unit) {
    if (!keys.tokens[unit]) continue;
    units.push_back(unit);
    targets.push_back(*keys.tokens[unit]);
  }
  for (std::size_t first = 0; first < units.size(); first += OutputHead::kRowBlock) {
    throw_if_interrupted();
    const std::size_t n = std::min(OutputHead::kRowBlock, units.size() - first);
    std::vector<TargetQuery> queries;
    for (std::size_t i = 0; i < n; ++i) queries.push_back({.row = i, .token = targets[first + i]});
    const TargetRanks found = value_ranks(model, layer, std::span(units).subspan(first, n), queries, lens, sign);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = layer * scores.d_memory + units[first + i];
      scores.target[at] = targets[first + i];
      scores.rank[at] = static_cast<std::int32_t>(found.ranks[i]);
      scores.log_probability[at] = found.log_probabilities[i];
    }
  }
}

ValueScores compute(Workbench& bench) {
  const std::size_t n = bench.n_layers() * bench.d_memory();
  ValueScores scores{.n_layers = bench.n_layers(),
                     .d_memory = bench.d_memory(),
                     .target = std::vector<TokenId>(n, -1),
                     .rank = std::vector<std::int32_t>(n, -1),
                     .log_probability = std::vector<float>(n, std::numeric_limits<float>::quiet_NaN())};
  const TriggerStore& store = bench.triggers();
  Progress progress("value scores", static_cast<double>(n), "values", bench.options().quiet);
  for (std::size_t layer = 0; layer < scores.n_layers; ++layer) {
    const KeyTargets keys = key_targets(store, layer, bench.options().target);
    score_layer(*bench.model(), layer, keys, bench.options().value_lens, bench.example_sign(), scores);
    progress.update(static_cast<double>((layer + 1) * scores.d_memory));
  }
  return scores;
}

}  // namespace

ValueScores value_scores(Workbench& bench) {
  Origin origin = bench.trigger_origin();
  origin.emplace("lens", lens_name(bench.options().value_lens));
  origin.emplace("target", bench.options().target == Target::next ? "next" : "last-read");
  const std::vector<std::size_t> shape{bench.n_layers(), bench.d_memory()};
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    const ValueScores scores = compute(bench);
    write_safetensors(file,
                      {{"target", DType::i32, shape, scores.target.data()},
                       {"rank", DType::i32, shape, scores.rank.data()},
                       {"log_probability", DType::f32, shape, scores.log_probability.data()}},
                      metadata);
  };
  return bench.stored("value-scores", origin, make, [&](const SafetensorsFile& file) {
    const std::size_t vocab_size = bench.model()->head().vocab_size();
    return ValueScores{.n_layers = bench.n_layers(),
                       .d_memory = bench.d_memory(),
                       .target = stored_array<TokenId>(file, "target", shape, -1, vocab_size),
                       .rank = stored_array<std::int32_t>(file, "rank", shape, -1, vocab_size),
                       .log_probability = stored_array<float>(file, "log_probability", shape)};
  });
}

}  // namespace ffmem::tools
