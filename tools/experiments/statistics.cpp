#include "tools/experiments/statistics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace ffmem::tools {
namespace {

constexpr std::size_t kResamples = 1000;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::uint64_t splitmix64(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15U);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

/// FNV-1a.
std::uint64_t hash(std::string_view text) {
  std::uint64_t h = 0xCBF29CE484222325U;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return h;
}

/// The middle 95 % of the resampled means.
Estimate interval(double value, std::vector<double> means, std::size_t n) {
  std::ranges::sort(means);
  return {.value = value, .low = quantile(means, 0.025), .high = quantile(means, 0.975), .n = n};
}

/// Of 0 or all of n things: the exact limit, where resampling knows none.
Estimate with_exact_limit(Estimate estimate, std::size_t n) {
  const double limit = std::pow(0.025, 1.0 / static_cast<double>(n));
  if (estimate.value == 0.0) estimate.high = 1.0 - limit;
  if (estimate.value == 1.0) estimate.low = limit;
  return estimate;
}

}  // namespace

Random::Random(std::uint64_t seed, std::string_view purpose) {
  std::uint64_t state = seed ^ hash(purpose);
  for (std::uint64_t& word : state_) word = splitmix64(state);
}

std::uint64_t Random::next() noexcept {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t n) noexcept {
  // Numbers beyond the last whole multiple of n would favour the small ones.
  const std::uint64_t rejected = (0 - n) % n;
  std::uint64_t x = next();
  while (x < rejected) x = next();
  return x % n;
}

std::vector<std::size_t> sample(std::size_t n, std::size_t k, Random& random) {
  std::vector<std::size_t> chosen;
  k = std::min(k, n);
  chosen.reserve(k);
  // Knuth's algorithm S: each number in turn with the probability that is left.
  for (std::size_t i = 0; i < n && chosen.size() < k; ++i) {
    if (random.below(n - i) < k - chosen.size()) chosen.push_back(i);
  }
  return chosen;
}

Estimate estimate_mean(std::span<const double> values, Random random) {
  const std::size_t n = values.size();
  if (n == 0) return {.value = kNaN, .low = kNaN, .high = kNaN, .n = 0};
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(n);
  std::vector<double> means(kResamples);
  for (double& resampled : means) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += values[random.below(n)];
    resampled = sum / static_cast<double>(n);
  }
  return interval(mean, std::move(means), n);
}

Estimate estimate_share(std::size_t part, std::size_t n, Random random) {
  if (n == 0) return {.value = kNaN, .low = kNaN, .high = kNaN, .n = 0};
  std::vector<double> shares(kResamples);
  for (double& share : shares) {
    std::size_t drawn = 0;
    for (std::size_t i = 0; i < n; ++i) drawn += random.below(n) < part ? 1 : 0;
    share = static_cast<double>(drawn) / static_cast<double>(n);
  }
  return with_exact_limit(interval(static_cast<double>(part) / static_cast<double>(n), std::move(shares), n), n);
}

Estimate estimate_ratio(std::span<const double> parts, std::span<const double> wholes, Random random) {
  const std::size_t n = parts.size();
  const double whole = std::accumulate(wholes.begin(), wholes.end(), 0.0);
  if (whole == 0.0) return {.value = kNaN, .low = kNaN, .high = kNaN, .n = 0};
  std::vector<double> ratios;
  for (std::size_t resample = 0; resample < kResamples; ++resample) {
    double part_sum = 0.0;
    double whole_sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t drawn = random.below(n);
      part_sum += parts[drawn];
      whole_sum += wholes[drawn];
    }
    if (whole_sum > 0.0) ratios.push_back(part_sum / whole_sum);
  }
  const double value = std::accumulate(parts.begin(), parts.end(), 0.0) / whole;
  if (ratios.empty()) ratios.push_back(value);
  return interval(value, std::move(ratios), static_cast<std::size_t>(whole));
}

Estimate estimate_grouped_share(std::span<const double> parts, std::span<const double> wholes, Random random) {
  const auto n_groups = std::ranges::count_if(wholes, [](double whole) { return whole > 0.0; });
  return with_exact_limit(estimate_ratio(parts, wholes, random), static_cast<std::size_t>(n_groups));
}

double cohens_kappa(std::span<const double> counts, std::size_t n_classes) {
  double n = 0.0;
  double same = 0.0;
  double chance = 0.0;
  for (std::size_t a = 0; a < n_classes; ++a) {
    double by_first = 0.0;
    double by_second = 0.0;
    for (std::size_t b = 0; b < n_classes; ++b) {
      by_first += counts[a * n_classes + b];
      by_second += counts[b * n_classes + a];
    }
    n += by_first;
    same += counts[a * n_classes + a];
    chance += by_first * by_second;
  }
  if (n == 0.0 || chance == n * n) return kNaN;
  return (same / n - chance / (n * n)) / (1.0 - chance / (n * n));
}

Estimate estimate_statistic(std::size_t n, const std::function<double(std::span<const std::size_t>)>& statistic,
                            Random random) {
  const auto fill = [&](std::span<const std::size_t> drawn, std::span<double> out) { out[0] = statistic(drawn); };
  return estimate_statistics(n, 1, fill, random).front();
}

std::vector<Estimate> estimate_statistics(
    std::size_t n, std::size_t n_statistics,
    const std::function<void(std::span<const std::size_t>, std::span<double>)>& statistics, Random random) {
  std::vector<Estimate> estimates(n_statistics, {.value = kNaN, .low = kNaN, .high = kNaN, .n = n});
  if (n == 0) return estimates;
  std::vector<std::size_t> drawn(n);
  std::iota(drawn.begin(), drawn.end(), std::size_t{0});
  std::vector<double> values(n_statistics);
  statistics(drawn, values);
  std::vector<std::vector<double>> resampled(n_statistics);
  std::vector<double> again(n_statistics);
  for (std::size_t i = 0; i < kResamples; ++i) {
    for (std::size_t& thing : drawn) thing = random.below(n);
    statistics(drawn, again);
    for (std::size_t s = 0; s < n_statistics; ++s) {
      if (!std::isnan(again[s])) resampled[s].push_back(again[s]);
    }
  }
  for (std::size_t s = 0; s < n_statistics; ++s) {
    estimates[s].value = values[s];
    if (!std::isnan(values[s]) && !resampled[s].empty()) estimates[s] = interval(values[s], std::move(resampled[s]), n);
  }
  return estimates;
}

double quantile(std::span<const double> ascending, double q) {
  const double place = q * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  if (place == static_cast<double>(below)) return ascending[below];  // whatever its neighbour is
  return ascending[below] + (place - static_cast<double>(below)) * (ascending[above] - ascending[below]);
}

Box box_of(std::vector<double> values) {
  if (values.empty()) return {kNaN, kNaN, kNaN, kNaN, kNaN, kNaN, 0};
  std::ranges::sort(values);
  Box box{.quartile1 = quantile(values, 0.25), .median = quantile(values, 0.5), .quartile3 = quantile(values, 0.75)};
  const double reach = 1.5 * (box.quartile3 - box.quartile1);
  box.low = *std::ranges::lower_bound(values, box.quartile1 - reach);
  box.high = *std::prev(std::ranges::upper_bound(values, box.quartile3 + reach));
  box.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  box.n = values.size();
  return box;
}

}  // namespace ffmem::tools
