#include "tools/experiments/token_removal.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "hooks/record.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "runtime/session.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/coefficient_reads.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// The coefficient of a key at the last token, from a run of nothing else.
float coefficient_alone(const Workbench& bench, std::vector<TokenId> tokens, std::size_t layer, std::size_t unit) {
  if (bench.prefix_token()) tokens.insert(tokens.begin(), *bench.prefix_token());
  Session session(bench.model(), {.context = tokens.size(), .keep_cache = false});
  Record record({.points = {Point::coefficients}});
  const std::array<Hook*, 1> hooks{&record};
  session.run(tokens, LogitsRows::none, hooks);
  return record.at(Point::coefficients, layer).row(tokens.size() - 1)[unit];
}

}  // namespace

TEST_CASE("read_coefficients: what a batch gives has the bits of each prefix run alone") {
  for_each_key_value_model([](const Workbench& bench) {
    const std::size_t last = bench.n_layers() - 1;
    // A prefix of another, the same twice for two keys, a deep and a shallow key, and one that shares only a beginning.
    const std::vector<CoefficientRead> reads{
        {.tokens = {5, 6, 7, 8}, .layer = 0, .unit = 3}, {.tokens = {5, 6}, .layer = last, .unit = 1},
        {.tokens = {5, 6}, .layer = 0, .unit = 0},       {.tokens = {9}, .layer = last, .unit = 2},
        {.tokens = {5, 9, 7}, .layer = 1, .unit = 4},    {.tokens = {6, 7, 8, 9, 10, 11, 12, 13, 14}, .layer = 1, .unit = 5}};
    for (const std::size_t batch_tokens : {std::size_t{1}, std::size_t{7}, std::size_t{1024}}) {
      const std::vector<float> found =
          read_coefficients(bench.model(), reads, {.prefix_token = bench.prefix_token(), .batch_tokens = batch_tokens});
      REQUIRE(found.size() == reads.size());
      for (std::size_t i = 0; i < reads.size(); ++i) {
        CHECK(found[i] == coefficient_alone(bench, reads[i].tokens, reads[i].layer, reads[i].unit));
      }
    }
  });
}

TEST_CASE("read_coefficients: a layer, a unit or a prefix that is not there is an error, and nothing asked is nothing done") {
  const ExperimentModel model;
  const Workbench bench(model.options());
  const auto error = [&](const CoefficientRead& read) {
    return thrown([&] { read_coefficients(bench.model(), std::span(&read, 1), {}); }).code();
  };
  CHECK(error({.tokens = {5}, .layer = bench.n_layers(), .unit = 0}) == ErrorCode::layer_out_of_range);
  CHECK(error({.tokens = {5}, .layer = 0, .unit = bench.d_memory()}) == ErrorCode::unit_out_of_range);
  CHECK(error({.tokens = {}, .layer = 0, .unit = 0}) == ErrorCode::argument_invalid);
  CHECK(read_coefficients(bench.model(), {}, {}).empty());
}

TEST_CASE("token-removal: every coefficient is that of the shortened prefix run alone; prefixes of one token are skipped") {
  for_each_key_value_model([](Workbench& bench) {
    const RemovedCoefficients table = removed_coefficients(bench);
    REQUIRE(table.n_keys == 4);
    std::size_t n_short = 0;
    for (std::size_t at = 0; at < table.coefficient.size(); ++at) {
      const std::size_t layer = at / table.top / table.n_keys;
      const auto unit = static_cast<std::size_t>(table.unit[at / table.top]);
      const auto examples = bench.triggers().examples(layer, unit);
      const std::size_t e = at % table.top;
      const std::span<const float> removed = std::span(table.removed_coefficient).subspan(at * kRemovals, kRemovals);
      if (e >= examples.size() || examples[e].prefix.size() == 1) {
        n_short += e < examples.size() ? 1 : 0;
        CHECK(std::ranges::all_of(removed, [](float m) { return std::isnan(m); }));
        continue;
      }
      const std::span<const TokenId> prefix = examples[e].prefix;
      CHECK(table.coefficient[at] == examples[e].coefficient);
      CHECK(table.n_prefix_tokens[at] == static_cast<std::int32_t>(prefix.size()));
      const auto random = static_cast<std::size_t>(table.random_position[at]);
      REQUIRE(random < prefix.size());
      const std::array positions{std::size_t{0}, prefix.size() - 1, random};
      for (std::size_t r = 0; r < kRemovals; ++r) {
        std::vector<TokenId> shortened(prefix.begin(), prefix.end());
        shortened.erase(shortened.begin() + static_cast<std::ptrdiff_t>(positions[r]));
        CHECK(removed[r] == coefficient_alone(bench, shortened, layer, unit));
      }
    }
    CHECK(n_short > 0);
  });
}

TEST_CASE("token-removal: a run goes on from what an ended one left, if that is of the same search") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const RemovedCoefficients whole = removed_coefficients(bench);
  const auto stored = model.texts().path() / "out" / "data" / "token-removal.safetensors";
  const std::string bytes = read_text_file(stored);
  Origin origin = SafetensorsFile(stored).metadata();

  // A left number that no run gives shows whether it was taken over; the others are still to come.
  const auto known =
      static_cast<std::size_t>(std::ranges::find_if(whole.removed_coefficient, [](float m) { return !std::isnan(m); }) -
                               whole.removed_coefficient.begin());
  std::vector<float> left(whole.removed_coefficient.size(), std::numeric_limits<float>::quiet_NaN());
  left[known] = 123.0F;
  const auto go_on = [&] {
    const auto partial = stored.string() + ".partial";
    write_safetensors(partial, {{"removed_coefficient", DType::f32, {left.size()}, left.data()}}, origin);
    std::filesystem::remove(stored);
    RemovedCoefficients table = removed_coefficients(bench);
    CHECK(!std::filesystem::exists(partial));
    return table;
  };
  RemovedCoefficients table = go_on();
  CHECK(table.removed_coefficient[known] == 123.0F);
  table.removed_coefficient[known] = whole.removed_coefficient[known];
  CHECK(std::ranges::equal(table.removed_coefficient, whole.removed_coefficient, same));

  origin["seed"] = "another";
  go_on();
  CHECK(read_text_file(stored) == bytes);
}

TEST_CASE("token-removal: the change of a layer is the mean over keys of the mean over their examples") {
  const ExperimentModel model("hf/llama");
  Workbench bench(model.options());
  const RemovedCoefficients table = removed_coefficients(bench);
  const Result result = token_removal(bench);
  for (std::size_t r = 0; r < kRemovals; ++r) {
    double sum = 0.0;
    double n_keys = 0.0;
    for (std::size_t k = 0; k < table.n_keys; ++k) {
      double of_key = 0.0;
      double n = 0.0;
      for (std::size_t at = k * table.top; at < (k + 1) * table.top; ++at) {
        if (table.n_prefix_tokens[at] < 2) continue;
        const double before = table.coefficient[at];
        of_key += 100.0 * (static_cast<double>(table.removed_coefficient[at * kRemovals + r]) - before) / before;
        n += 1.0;
      }
      if (n == 0.0) continue;
      sum += of_key / n;
      n_keys += 1.0;
    }
    const Estimate& found = estimate_of(result, "layer 1 " + std::string(kRemovalNames[r]) + " %");
    CHECK(found.value == doctest::Approx(sum / n_keys).epsilon(1e-12));
    CHECK(found.n == static_cast<std::size_t>(n_keys));
    CHECK(found.low <= found.value);
    CHECK(found.high >= found.value);
  }
}
