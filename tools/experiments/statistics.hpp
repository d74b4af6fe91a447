// Sampling and statistics of the experiments. Everything random comes from a seed and the name of its purpose, so that the same
// seed gives the same result on any number of threads, in any order of the experiments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace ffmem::tools {

/// xoshiro256** (Blackman and Vigna 2018), its state filled by splitmix64.
class Random {
 public:
  /// `purpose` ("token-removal/layer 3") keeps the streams of one seed apart.
  Random(std::uint64_t seed, std::string_view purpose);

  std::uint64_t next() noexcept;

  /// Uniform in [0, n), n >= 1, without bias.
  std::uint64_t below(std::uint64_t n) noexcept;

 private:
  std::uint64_t state_[4];
};

/// k of the numbers 0 .. n - 1, each set of k equally likely, ascending; all of them where k >= n.
std::vector<std::size_t> sample(std::size_t n, std::size_t k, Random& random);

/// A mean with its 95 % interval.
struct Estimate {
  double value = 0.0;  // NaN where it is not known, as for n = 0; low and high also where there is no interval
  double low = 0.0;
  double high = 0.0;
  std::size_t n = 0;
};

/// Percentile bootstrap over the n values (1,000 resamples; Efron 1979). A share is the mean of zeros and ones.
Estimate estimate_mean(std::span<const double> values, Random random);

/// The same for `part` of `n`, drawn without a list of ones and zeros. Of none or all of n every resample has the same share:
/// then the interval ends at the exact limit (Clopper and Pearson 1934), 1 - 0.025^(1/n) above 0, 0.025^(1/n) below 1.
Estimate estimate_share(std::size_t part, std::size_t n, Random random);

/// The sum of `parts` over the sum of `wholes`, resampling the n pairs: a mean over things that come in groups (the layers of
/// an example). NaN where no whole is left.
Estimate estimate_ratio(std::span<const double> parts, std::span<const double> wholes, Random random);

/// The same where each part counts some of its whole. The share of none or all has the exact limit that estimate_share gives
/// it, with the number of groups that are not empty as n: those within a group are not counted as independent.
Estimate estimate_grouped_share(std::span<const double> parts, std::span<const double> wholes, Random random);

/// The bootstrap for any statistic of n things: `statistic` gets the numbers of the things drawn (all of them first, for the
/// value). Resamples for which it is NaN do not count.
Estimate estimate_statistic(std::size_t n, const std::function<double(std::span<const std::size_t>)>& statistic, Random random);

/// The same for several statistics of the same things at once: `statistics` fills its second argument [n_statistics].
std::vector<Estimate> estimate_statistics(
    std::size_t n, std::size_t n_statistics,
    const std::function<void(std::span<const std::size_t>, std::span<double>)>& statistics, Random random);

/// Cohen's kappa (1960) of two raters: counts [n_classes, n_classes] says how often the first put a thing into class a and the
/// second into class b. NaN where chance alone would have them agree always, or nothing was rated.
double cohens_kappa(std::span<const double> counts, std::size_t n_classes);

/// What a box plot draws: quartiles, and the outermost values within 1.5 interquartile ranges of the box (Tukey).
struct Box {
  double low = 0.0;
  double quartile1 = 0.0;
  double median = 0.0;
  double quartile3 = 0.0;
  double high = 0.0;
  double mean = 0.0;
  std::size_t n = 0;  // 0: everything else is NaN
};
Box box_of(std::vector<double> values);

/// The q-quantile of ascending values, interpolated linearly between neighbours (numpy's default). Not empty.
double quantile(std::span<const double> ascending, double q);

}  // namespace ffmem::tools
