#include "tools/experiments/memory_effects.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// A column of the table of memories, ascending, without the memories that were never active.
std::vector<double> ascending(const Table& memories, const std::string& column) {
  const auto c = static_cast<std::size_t>(std::ranges::find(memories.columns, column) - memories.columns.begin());
  std::vector<double> numbers;
  for (const auto& row : memories.rows) {
    if (std::holds_alternative<double>(row.at(c))) numbers.push_back(std::get<double>(row[c]));
  }
  std::ranges::sort(numbers);
  return numbers;
}

}  // namespace

TEST_CASE("memory-effects: of few prefixes, too, each interval of the figure holds its point") {
  const ExperimentModel model("hf/olmo2");
  for (const std::size_t n : {9, 30}) {
    CAPTURE(n);
    ExperimentOptions options = model.options("out-" + std::to_string(n));
    options.effect_examples = n;
    options.effect_layer = 1;
    options.seed = 2;
    Workbench bench(options);
    const Result result = memory_effects(bench);
    for (const auto& row : result.figures.at(0).data.rows) {
      CAPTURE(std::get<double>(row[0]));
      CHECK(std::get<double>(row[2]) <= std::get<double>(row[1]) * (1 + 1e-12));
      CHECK(std::get<double>(row[3]) >= std::get<double>(row[1]) * (1 - 1e-12));
    }
  }
}

TEST_CASE("memory-effects: a layer that the model has not is refused before any work") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  options.effect_layer = 12;
  const Error error = thrown([&] { const Workbench bench(options); });
  CHECK(error.code() == ErrorCode::layer_out_of_range);
  CHECK_MESSAGE(contains(error.what(), "--effect-layer 12: the model has layers 0 to "), error.what());
}

TEST_CASE("memory-effects: a memory with one example has no interval") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  options.effect_examples = 1;
  Workbench bench(options);
  const Result result = memory_effects(bench);
  for (const auto& row : result.figures.at(0).data.rows) {
    CHECK(std::get<std::string>(row[2]).empty());
    CHECK(std::get<std::string>(row[3]).empty());
  }
}

TEST_CASE("memory-effects: the figure's curves are the memories' mean and largest divergences, strongest first") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const Result result = memory_effects(bench);
  const Table& memories = result.tables.at(0);
  const std::vector<double> means = ascending(memories, "mean divergence");
  const std::vector<double> largest = ascending(memories, "largest divergence");
  const Table& curve = result.figures.at(0).data;
  CHECK(curve.rows.size() == 29);  // every per cent to 10, then every fifth
  for (const auto& row : curve.rows) {
    const double q = 1.0 - std::get<double>(row[0]) / 100.0;
    CAPTURE(q);
    CHECK(std::get<double>(row[1]) == doctest::Approx(quantile(means, q)));
    if (std::holds_alternative<double>(row[2])) CHECK(std::get<double>(row[2]) <= std::get<double>(row[3]));
    CHECK(std::get<double>(row[4]) == doctest::Approx(quantile(largest, q)));
    CHECK(std::get<std::string>(row[5]).empty());
  }
  if (std::holds_alternative<double>(curve.rows[0][2])) {
    CHECK(std::get<double>(curve.rows[0][2]) < std::get<double>(curve.rows[0][3]));
  }
}
