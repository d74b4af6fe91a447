// What each memory predicts by itself, top(m v), for any coefficient m (paper section 5.1).
//
// With one plain softmax over v . E, top(m v) depends on m's sign alone. An adaptive softmax is different: log p of a word of
// band b at scale m is m c_b + g_b(m), less what all words share, where c_b is the band's entry in band 0 and g_b(m) = max_w m
// t_w - log sum_w exp(m t_w) over the band's words is concave and rises from -log n_b to 0. Band 0's best word, at m a, beats
// every band whose c_b <= a, at any scale. For the other memories those bounds decide most coefficients, and the few left are
// scored directly.
//
// Where scaling means nothing (a final norm stands before the softmax) or a bias would outweigh a small m v, values are scored
// bare: top(v) for m > 0, top(-v) for m < 0.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

class ValuePredictions {
 public:
  /// By options().value_lens. Takes top(v) and top(-v) from bench.values().
  explicit ValuePredictions(Workbench& bench);

  /// False where values are scored bare (see above).
  static bool scores_weighted(const Model& model, Lens lens) noexcept;

  /// Memories of `layer` with top(v) = token, whatever their coefficients.
  std::size_t count_bare(std::size_t layer, TokenId token) const;

  /// A memory for which top(m v) = token is neither sure nor impossible.
  struct Open {
    std::size_t row = 0;  // the caller's
    std::size_t layer = 0;
    std::size_t unit = 0;
    float coefficient = 0.0F;
    TokenId token = 0;
  };

  /// Memories of `layer` with m != 0 and top(m v) = token. coefficients [d_m]. Those left open are appended to `open`
  /// instead of being counted. Several threads may call it.
  std::size_t count_weighted(std::size_t layer, std::span<const float> coefficients, TokenId token, std::size_t row,
                             std::vector<Open>& open) const;

  /// Whether top(m v) = token for each, scored directly.
  std::vector<bool> decide(std::span<const Open> open) const;

 private:
  /// Memories of one layer and sign whose best word depends on |m|.
  struct Scaled {
    std::vector<std::size_t> units;
    std::vector<TokenId> tokens;  // [units, bands]: each band's best word
    std::vector<double> slopes;   // [units, bands]: c_b - a; 0 for band 0
    std::vector<double> at_one;   // [units, bands]: g_b(1); 0 for band 0
  };
  struct Sign {
    float factor = 1.0F;
    std::vector<TokenId> tokens;  // [L, d_m]: top(factor v); -1 where it depends on |m|
    std::vector<Scaled> scaled;   // [L], adaptive softmax only
  };
  enum class Verdict { no, yes, open };

  std::vector<std::size_t> undecided(const Sign& sign, std::size_t layer) const;
  void score_bands(Sign& sign) const;
  Verdict judge(const Scaled& scaled, std::size_t index, double scale, TokenId token) const;

  std::shared_ptr<const Model> model_;
  std::size_t d_memory_;
  Lens lens_;
  std::vector<double> log_sizes_;  // [bands]: log of each band's number of words
  std::vector<TokenId> bare_;      // [L, d_m]: top(v)
  std::vector<Sign> signs_;        // positive, and negative where there is one
};

}  // namespace ffmem::tools
