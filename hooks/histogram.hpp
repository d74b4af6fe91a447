// A reading hook that counts, for every memory, how large its coefficients are over any number of runs.
//
// Bins grow by powers of two, so that one set of them serves every model: see kBins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

class Histogram : public Hook {
 public:
  /// kZeroBin: exactly 0. Of magnitudes above it, kZeroBin + 1: (0, 2^-6); + 2 + k: [2^(k-6), 2^(k-5)), k = 0 .. 10; + 13: from
  /// 32 on. As far below it, those of negative coefficients. NaN counts nowhere.
  static constexpr std::size_t kZeroBin = 13;
  static constexpr std::size_t kBins = 2 * kZeroBin + 1;

  /// All counts 0: L x d_m x kBins numbers of 4 bytes. Throws argument_invalid for more than 2^59, std::bad_alloc.
  Histogram(std::size_t n_layers, std::size_t d_memory);

  Access access(Point point, std::size_t layer) const override;  // reads coefficients of every layer

  /// Rows at position 0 are left out where skip_first was set: a beginning-of-text token alone is no prefix.
  /// Throws argument_invalid where layer or width are not those of the histogram. Each OpenMP thread counts its own units.
  void read(const PointView& view) override;

  /// For the runs from now on; false at first.
  void skip_first(bool skip) noexcept { skip_first_ = skip; }

  /// [L, d_m, kBins], row-major: of all runs so far, and of what one that threw had shown. Up to 2^32 - 1 rows. Valid as long
  /// as this lives; later runs count on in it.
  const std::vector<std::uint32_t>& counts() const noexcept { return counts_; }

 private:
  std::size_t n_layers_;
  std::size_t d_memory_;
  bool skip_first_ = false;
  std::vector<std::uint32_t> counts_;
};

}  // namespace ffmem
