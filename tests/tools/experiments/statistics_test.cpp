#include "tools/experiments/statistics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <vector>

using namespace ffmem::tools;

TEST_CASE("random: one seed and purpose always give the same numbers, another purpose gives others") {
  Random a(1, "a");
  Random again(1, "a");
  Random b(1, "b");
  Random other(2, "a");
  const auto first = a.next();
  CHECK(first == again.next());
  CHECK(first != b.next());
  CHECK(first != other.next());
}

TEST_CASE("random: below() reaches every number about equally often and none beyond") {
  Random random(7, "below");
  std::map<std::uint64_t, int> counts;
  for (int i = 0; i < 30000; ++i) ++counts[random.below(3)];
  CHECK(counts.size() == 3);
  for (const auto& [number, count] : counts) {
    CHECK(number < 3);
    CHECK(std::abs(count - 10000) < 400);
  }
  CHECK(random.below(1) == 0);
}

TEST_CASE("sample: as many different numbers as asked for, ascending, all where there are fewer") {
  Random random(3, "sample");
  const auto chosen = sample(100, 10, random);
  CHECK(chosen.size() == 10);
  CHECK(std::ranges::is_sorted(chosen));
  CHECK(std::set<std::size_t>(chosen.begin(), chosen.end()).size() == 10);
  CHECK(chosen.back() < 100);
  CHECK(sample(4, 10, random) == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(sample(0, 10, random).empty());
}

TEST_CASE("estimate_mean: the interval of a mean of n values is about 1.96 standard errors to each side") {
  std::vector<double> values;
  values.reserve(2000);
  Random random(5, "values");
  for (int i = 0; i < 2000; ++i) values.push_back(static_cast<double>(random.below(1000)) / 1000.0);
  const Estimate estimate = estimate_mean(values, Random(1, "interval"));
  const double expected = 1.96 * std::sqrt(1.0 / 12.0 / 2000.0);
  CHECK(estimate.n == 2000);
  CHECK(estimate.low < estimate.value);
  CHECK(estimate.high > estimate.value);
  CHECK(estimate.high - estimate.value == doctest::Approx(expected).epsilon(0.15));
  CHECK(estimate.value - estimate.low == doctest::Approx(expected).epsilon(0.15));
}

TEST_CASE("estimate_share: a share of none or of all has the exact limit, and of nothing there is none") {
  const Estimate none = estimate_share(0, 50, Random(1, "x"));
  CHECK(none.value == 0.0);
  CHECK(none.low == 0.0);
  CHECK(none.high == doctest::Approx(0.0711217));
  const Estimate all = estimate_share(50, 50, Random(1, "x"));
  CHECK(all.value == 1.0);
  CHECK(all.low == doctest::Approx(1.0 - 0.0711217));
  CHECK(all.high == 1.0);
  CHECK(estimate_share(0, 1, Random(1, "x")).high == doctest::Approx(0.975));
  const Estimate nothing = estimate_share(0, 0, Random(1, "x"));
  CHECK(std::isnan(nothing.value));
  CHECK(nothing.n == 0);
  CHECK(std::isnan(estimate_mean({}, Random(1, "x")).value));
}

TEST_CASE("estimate_grouped_share: its exact limits count the groups that are not empty, not what is in them") {
  const std::vector<double> wholes{5, 0, 7, 3};
  const Estimate none = estimate_grouped_share(std::vector<double>{0, 0, 0, 0}, wholes, Random(1, "x"));
  CHECK(none.value == 0.0);
  CHECK(none.low == 0.0);
  CHECK(none.high == doctest::Approx(1.0 - std::cbrt(0.025)));
  CHECK(none.n == 15);
  const Estimate all = estimate_grouped_share(wholes, wholes, Random(1, "x"));
  CHECK(all.low == doctest::Approx(std::cbrt(0.025)));
  CHECK(all.high == 1.0);
  const std::vector<double> some{1, 0, 7, 0};
  const Estimate between = estimate_grouped_share(some, wholes, Random(1, "x"));
  const Estimate resampled = estimate_ratio(some, wholes, Random(1, "x"));
  CHECK(between.low == resampled.low);
  CHECK(between.high == resampled.high);
  CHECK(std::isnan(estimate_grouped_share({}, {}, Random(1, "x")).high));
}

TEST_CASE("quantile: interpolates between neighbours as numpy does") {
  const std::vector<double> values{1, 2, 4, 8};
  CHECK(quantile(values, 0.0) == 1.0);
  CHECK(quantile(values, 0.5) == 3.0);
  CHECK(quantile(values, 0.25) == 1.75);
  CHECK(quantile(values, 1.0) == 8.0);
}

TEST_CASE("box: whiskers end at the outermost values within 1.5 box lengths; one value and none") {
  const Box box = box_of({1, 2, 3, 4, 5, 100});
  CHECK(box.median == 3.5);
  CHECK(box.low == 1.0);
  CHECK(box.high == 5.0);
  CHECK(box.n == 6);
  CHECK(box_of({7}).low == 7.0);
  CHECK(box_of({7}).high == 7.0);
  CHECK(std::isnan(box_of({}).median));
}

TEST_CASE("cohens_kappa: agreement beyond chance, and nothing where chance is certain") {
  CHECK(cohens_kappa(std::array{20.0, 5.0, 10.0, 15.0}, 2) == doctest::Approx(0.4));  // 0.7 agree, 0.5 by chance
  CHECK(cohens_kappa(std::array{3.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 5.0}, 3) == doctest::Approx(1.0));
  CHECK(std::isnan(cohens_kappa(std::array{7.0, 0.0, 0.0, 0.0}, 2)));
  CHECK(std::isnan(cohens_kappa(std::array{0.0, 0.0, 0.0, 0.0}, 2)));
}

TEST_CASE("estimate_statistic: the interval is that of the resampled statistic, and NaN resamples do not count") {
  const std::vector<double> values{1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
  const auto mean = [&](std::span<const std::size_t> chosen) {
    double sum = 0.0;
    for (const std::size_t i : chosen) sum += values[i];
    return sum / static_cast<double>(chosen.size());
  };
  const Estimate expected = estimate_mean(values, {3, "test"});
  const Estimate found = estimate_statistic(values.size(), mean, {3, "test"});
  CHECK(found.value == expected.value);
  CHECK(found.low == expected.low);
  CHECK(found.high == expected.high);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(estimate_statistic(0, mean, {3, "test"}).value));
  const Estimate never = estimate_statistic(3, [&](auto) { return nan; }, {3, "test"});
  CHECK(std::isnan(never.value));
  CHECK(std::isnan(never.low));
  const Estimate sometimes =
      estimate_statistic(3, [&](std::span<const std::size_t> chosen) { return chosen[0] == 0 ? 5.0 : nan; }, {3, "test"});
  CHECK(sometimes.low == 5.0);
}

TEST_CASE("estimate_statistics: each statistic by itself has the interval that it has among others") {
  const std::vector<double> values{1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
  const auto sum = [&](std::span<const std::size_t> chosen) {
    double total = 0.0;
    for (const std::size_t i : chosen) total += values[i];
    return total;
  };
  const auto first = [&](std::span<const std::size_t> chosen) { return values[chosen[0]]; };
  const auto both = [&](std::span<const std::size_t> chosen, std::span<double> out) {
    out[0] = sum(chosen);
    out[1] = first(chosen);
  };
  const std::vector<Estimate> found = estimate_statistics(values.size(), 2, both, {3, "test"});
  REQUIRE(found.size() == 2);
  const Estimate sums = estimate_statistic(values.size(), sum, {3, "test"});
  const Estimate firsts = estimate_statistic(values.size(), first, {3, "test"});
  CHECK(found[0].value == 36.0);
  CHECK(found[0].low == sums.low);
  CHECK(found[0].high == sums.high);
  CHECK(found[1].value == 1.0);
  CHECK(found[1].low == firsts.low);
  CHECK(found[1].high == firsts.high);
  for (const Estimate& nothing : estimate_statistics(0, 2, both, {3, "test"})) CHECK(std::isnan(nothing.value));
}

TEST_CASE("estimate_ratio: a share among things in groups, resampled by group") {
  const std::vector<double> parts{1, 0, 3, 0};
  const std::vector<double> wholes{2, 0, 4, 2};
  const Estimate estimate = estimate_ratio(parts, wholes, Random(1, "test"));
  CHECK(estimate.value == doctest::Approx(0.5));
  CHECK(estimate.n == 8);
  CHECK(estimate.low < 0.5);
  CHECK(estimate.high > 0.5);
  CHECK(estimate.high <= 0.75);
  CHECK(std::isnan(estimate_ratio({}, {}, Random(1, "test")).value));
}
