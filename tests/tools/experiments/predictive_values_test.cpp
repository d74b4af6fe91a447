#include "tools/experiments/predictive_values.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/key_targets.hpp"

using namespace ffmem;
using namespace ffmem::tools;

TEST_CASE("predictive-values: only examples that have a target count among a value's") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const Table best = predictive_values(bench).tables[2];
  std::size_t n_without = 0;
  for (const auto& row : best.rows) {
    const auto at = [&](std::size_t column) { return static_cast<std::size_t>(std::get<std::int64_t>(row[column])); };
    const auto examples = bench.triggers().examples(at(0) - 1, at(1));
    const auto n_with =
        static_cast<std::size_t>(std::ranges::count_if(examples, [](const auto& e) { return e.next.has_value(); }));
    n_without += examples.size() - n_with;
    CHECK(at(4) == n_with);
    if (n_with > 0)
      CHECK(std::get<double>(row[6]) == doctest::Approx(static_cast<double>(at(5)) / static_cast<double>(n_with)));
  }
  CHECK(n_without > 0);
}

TEST_CASE("predictive-values: bins of equal width end at the largest, bins of equal count share the values out") {
  CHECK(equal_width_borders(8.0, 4) == std::vector<double>{0.0, 2.0, 4.0, 6.0, 8.0});
  CHECK(equal_count_begins(4, 2) == std::vector<std::size_t>{0, 2, 4});
  CHECK(equal_count_begins(7, 3) == std::vector<std::size_t>{0, 2, 4, 7});
  CHECK(equal_count_begins(3, 20) == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(equal_count_begins(0, 20) == std::vector<std::size_t>{0});
}

TEST_CASE("predictive-values: the upper layers are the paper's 11 to 16 of 16") {
  CHECK_FALSE(is_upper_layer(9, 16));
  CHECK(is_upper_layer(10, 16));
  CHECK_FALSE(is_upper_layer(6, 12));
  CHECK(is_upper_layer(7, 12));
  CHECK(is_upper_layer(0, 1));
}

TEST_CASE("predictive-values: every value with a target is in one bin, and the surest values come first") {
  for_each_key_value_model([](Workbench& bench) {
    const Result result = predictive_values(bench);
    std::size_t n_targets = 0;
    for (std::size_t layer = 0; layer < bench.n_layers(); ++layer) {
      n_targets += key_targets(bench.triggers(), layer, Target::next).n();
    }
    for (const std::size_t t : {std::size_t{0}, std::size_t{1}}) {
      std::int64_t n = 0;
      for (const auto& row : result.tables[t].rows) n += std::get<std::int64_t>(row[2]);
      CHECK(n == static_cast<std::int64_t>(n_targets));
    }
    for (std::size_t f = 0; f < 2; ++f) {
      Samples samples;
      for (const auto& row : result.tables[f].rows) samples.add(static_cast<std::size_t>(std::get<std::int64_t>(row[2])));
      CHECK(result.figures[f].samples.least == samples.least);
      CHECK(result.figures[f].samples.most == samples.most);
    }
    const Table& best = result.tables[2];
    CHECK(best.rows.size() == std::min<std::size_t>(100, bench.n_layers() * bench.d_memory()));
    const auto max_p = [](const auto& row) { return std::get<double>(row[3]); };
    CHECK(std::ranges::is_sorted(best.rows, std::greater<>(), max_p));
    float highest = 0.0F;
    for (std::size_t i = 0; i < bench.n_layers() * bench.d_memory(); ++i) {
      const auto log_p = value_distribution(*bench.model(), i / bench.d_memory(), i % bench.d_memory());
      highest = std::max(highest, std::exp(*std::ranges::max_element(log_p)));
    }
    CHECK(max_p(best.rows.front()) == doctest::Approx(static_cast<double>(highest)).epsilon(1e-5));
  });
}
