// A reading hook that keeps, for every key of every layer, the t sentence prefixes with the highest coefficient (paper
// section 3.1), over any number of runs.
//
// Order: higher coefficient, then earlier sentence, then earlier position; it is total, so what is kept does not depend on the
// order in which sentences are seen, and merging parts is exact and associative. Only coefficients > 0 enter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

/// The t best examples of every key; each array is [L, d_m, t], best first. Where a key has fewer examples: coefficient 0,
/// sentence -1, position -1.
struct TriggerTable {
  std::size_t n_layers = 0;
  std::size_t d_memory = 0;
  std::size_t t = 0;
  std::vector<float> coefficient;
  std::vector<std::int64_t> sentence;  // index in corpus order
  std::vector<std::int32_t> position;  // of the last token read, within the sentence's own tokens

  /// An empty table.
  TriggerTable(std::size_t n_layers, std::size_t d_memory, std::size_t t);
};

/// The table of both corpora's examples together. Same L, d_m, t (else argument_invalid).
TriggerTable merge(const TriggerTable& a, const TriggerTable& b, bool every_prefix);

class TopTriggers : public Hook {
 public:
  struct Options {
    bool every_prefix = false;  // false: of one sentence only the best position counts for a key
    bool smallest = false;      // keep the most negative coefficients instead (gated layers); stored with their sign
  };
  /// Goes on from `table` (an empty one, or a checkpoint's).
  TopTriggers(TriggerTable table, Options options);

  /// Says what the next run's sequences are: sentence s of the batch is corpus sentence ids[s], and its rows start with
  /// n_prefix tokens (beginning-of-text) that are not its own and end no prefix.
  void next_batch(std::span<const std::int64_t> sentence_ids, std::size_t n_prefix);

  Access access(Point point, std::size_t layer) const override;  // reads coefficients of every layer
  void read(const PointView& view) override;

  const TriggerTable& table() const noexcept { return table_; }

 private:
  TriggerTable table_;
  Options options_;
  std::vector<float> threshold_;  // [L, d_m]: the t-th best so far
  std::vector<std::int64_t> sentence_ids_;
  std::size_t n_prefix_ = 0;
};

}  // namespace ffmem
