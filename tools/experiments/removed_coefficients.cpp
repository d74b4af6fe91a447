// The runs behind token_removal.hpp: every shortened prefix, and the stored result.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "loaders/atomic_file.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/error.hpp"
#include "tools/experiments/coefficient_reads.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/experiments/token_removal.hpp"
#include "tools/interrupt.hpp"
#include "tools/progress.hpp"

namespace ffmem::tools {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// The prefix without its token `position`.
std::vector<TokenId> without(std::span<const TokenId> prefix, std::size_t position) {
  std::vector<TokenId> tokens(prefix.begin(), prefix.end());
  tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(position));
  return tokens;
}

RemovedCoefficients empty_table(std::size_t n_layers, std::size_t n_keys, std::size_t top) {
  const std::size_t n = n_layers * n_keys * top;
  return {.n_layers = n_layers,
          .n_keys = n_keys,
          .top = top,
          .unit = std::vector<std::int32_t>(n_layers * n_keys),
          .coefficient = std::vector<float>(n, kNaN),
          .removed_coefficient = std::vector<float>(n * kRemovals, kNaN),
          .random_position = std::vector<std::int32_t>(n, -1),
          .n_prefix_tokens = std::vector<std::int32_t>(n, 0)};
}

/// What is to be run, and for each read its place in removed_coefficient.
struct Plan {
  std::vector<CoefficientRead> reads;
  std::vector<std::size_t> places;
};

void plan_layer(const TriggerStore& store, std::size_t layer, Random keys, Random positions, RemovedCoefficients& table,
                Plan& plan) {
  const std::vector<std::size_t> units = sample(store.d_memory(), table.n_keys, keys);
  for (std::size_t k = 0; k < units.size(); ++k) {
    table.unit[layer * table.n_keys + k] = static_cast<std::int32_t>(units[k]);
    std::size_t at = (layer * table.n_keys + k) * table.top;
    for (const auto& example : store.examples(layer, units[k])) {
      const std::size_t n = example.prefix.size();
      table.coefficient[at] = example.coefficient;
      table.n_prefix_tokens[at] = static_cast<std::int32_t>(n);
      if (n > 1) {
        const std::size_t random = positions.below(n);
        table.random_position[at] = static_cast<std::int32_t>(random);
        for (std::size_t r = 0; r < kRemovals; ++r) {
          const std::size_t position = std::array{std::size_t{0}, n - 1, random}[r];
          plan.reads.push_back({.tokens = without(example.prefix, position), .layer = layer, .unit = units[k]});
          plan.places.push_back(at * kRemovals + r);
        }
      }
      ++at;
    }
  }
}

/// What a run that was ended left: the coefficients it found, in a file beside the result, written now and then.
class Checkpoint {
 public:
  Checkpoint(const std::filesystem::path& result, const Origin& origin, double seconds)
      : path_(result.string() + ".partial"), origin_(origin), seconds_(seconds) {}

  /// Puts what is there into `table`.
  void read(RemovedCoefficients& table) const {
    if (!comes_from(path_, origin_)) return;
    const SafetensorsFile file(path_);
    const auto found = file.at(kTensor).values<float>();
    if (found.size() == table.removed_coefficient.size()) std::ranges::copy(found, table.removed_coefficient.begin());
  }

  /// True if it is time to save, or the run is about to end.
  bool due() const {
    return interrupted() || std::chrono::duration<double>(std::chrono::steady_clock::now() - saved_).count() >= seconds_;
  }

  void save(const RemovedCoefficients& table) {
    saved_ = std::chrono::steady_clock::now();
    write_safetensors(path_, {{kTensor, DType::f32, {table.removed_coefficient.size()}, table.removed_coefficient.data()}},
                      origin_);
  }

  void remove() const { remove_file(path_); }

 private:
  static constexpr const char* kTensor = "removed_coefficient";
  std::filesystem::path path_;
  const Origin& origin_;
  double seconds_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
};

/// Leaves in the plan what the table does not hold yet.
void drop_what_is_known(const RemovedCoefficients& table, Plan& plan) {
  Plan rest;
  for (std::size_t i = 0; i < plan.reads.size(); ++i) {
    if (!std::isnan(table.removed_coefficient[plan.places[i]])) continue;
    rest.reads.push_back(std::move(plan.reads[i]));
    rest.places.push_back(plan.places[i]);
  }
  plan = std::move(rest);
}

RemovedCoefficients compute(Workbench& bench, Checkpoint& checkpoint) {
  const TriggerStore& store = bench.triggers();
  const ExperimentOptions& options = bench.options();
  RemovedCoefficients table = empty_table(store.n_layers(), std::min(options.removal_keys, store.d_memory()), store.top());
  Plan plan;
  for (std::size_t layer = 0; layer < table.n_layers; ++layer) {
    plan_layer(store, layer, bench.random(concat("token-removal/keys/", layer)),
               bench.random(concat("token-removal/positions/", layer)), table, plan);
  }
  checkpoint.read(table);
  drop_what_is_known(table, plan);
  std::unique_ptr<Progress> progress;
  const auto take = [&](std::span<const float> found) {
    for (std::size_t i = 0; i < found.size(); ++i) table.removed_coefficient[plan.places[i]] = found[i];
  };
  const auto report = [&](std::size_t n_done, std::size_t n, std::span<const float> found) {
    if (checkpoint.due()) {
      take(found);
      checkpoint.save(table);
    }
    throw_if_interrupted();
    if (!progress) progress = std::make_unique<Progress>("token removal", static_cast<double>(n), "tokens", options.quiet);
    progress->update(static_cast<double>(n_done));
  };
  take(read_coefficients(bench.model(), plan.reads,
                         {.prefix_token = bench.prefix_token(),
                          .batch_tokens = options.triggers.batch_tokens,
                          .n_threads = options.model.threads,
                          .progress = report}));
  return table;
}

void write(const std::filesystem::path& path, const RemovedCoefficients& table, const Origin& metadata) {
  const std::vector<std::size_t> shape{table.n_layers, table.n_keys, table.top};
  write_safetensors(path,
                    {{"unit", DType::i32, {table.n_layers, table.n_keys}, table.unit.data()},
                     {"coefficient", DType::f32, shape, table.coefficient.data()},
                     {"removed_coefficient",
                      DType::f32,
                      {table.n_layers, table.n_keys, table.top, kRemovals},
                      table.removed_coefficient.data()},
                     {"random_position", DType::i32, shape, table.random_position.data()},
                     {"n_prefix_tokens", DType::i32, shape, table.n_prefix_tokens.data()}},
                    metadata);
}

RemovedCoefficients read(const SafetensorsFile& file, const Workbench& bench) {
  const std::size_t n_layers = bench.n_layers();
  const std::size_t n_keys = std::min(bench.options().removal_keys, bench.d_memory());
  const std::size_t top = bench.options().triggers.top;
  const std::vector<std::size_t> shape{n_layers, n_keys, top};
  return {.n_layers = n_layers,
          .n_keys = n_keys,
          .top = top,
          .unit = stored_array<std::int32_t>(file, "unit", {n_layers, n_keys}, 0, bench.d_memory()),
          .coefficient = stored_array<float>(file, "coefficient", shape),
          .removed_coefficient = stored_array<float>(file, "removed_coefficient", {n_layers, n_keys, top, kRemovals}),
          .random_position = stored_array<std::int32_t>(file, "random_position", shape, -1, bench.context()),
          .n_prefix_tokens = stored_array<std::int32_t>(file, "n_prefix_tokens", shape, 0, bench.context() + 1)};
}

}  // namespace

RemovedCoefficients removed_coefficients(Workbench& bench) {
  Origin origin = bench.trigger_origin();
  origin.emplace("keys", std::to_string(bench.options().removal_keys));
  origin.emplace("seed", std::to_string(bench.options().seed));
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    Checkpoint checkpoint(file, metadata, bench.options().triggers.checkpoint_seconds);
    write(file, compute(bench, checkpoint), metadata);
    checkpoint.remove();
  };
  return bench.stored("token-removal", origin, make, [&](const SafetensorsFile& file) { return read(file, bench); });
}

}  // namespace ffmem::tools
