// A reading hook that keeps, for every key of every layer, the t sentence prefixes with the highest coefficient (paper
// section 3.1), over any number of runs.
//
// Order: higher coefficient, then earlier sentence, then earlier position; it is total, so what is kept does not depend on the
// order in which sentences are seen, and merging parts is exact and associative. Only coefficients > 0 enter (of the smallest,
// only those < 0); NaN never does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
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
  std::vector<std::int64_t> sentence;  // index in corpus order, from 0
  std::vector<std::int32_t> position;  // of the last token read, within the sentence's own tokens

  /// An empty table. Throws argument_invalid if t is 0 or the examples more than 2^59, std::bad_alloc.
  TriggerTable(std::size_t n_layers, std::size_t d_memory, std::size_t t);

  /// Bytes of the three arrays of a table of that size.
  static std::size_t bytes(std::size_t n_layers, std::size_t d_memory, std::size_t t) noexcept;
};

/// The table of both corpora's examples together; the largest in magnitude come first, so that tables of the smallest
/// (negative) coefficients merge as well. An example that is in both counts once. every_prefix as in TopTriggers::Options. Same
/// L, d_m, t, and arrays of those sizes (else argument_invalid).
TriggerTable merge(const TriggerTable& a, const TriggerTable& b, bool every_prefix);

class TopTriggers : public Hook {
 public:
  struct Options {
    bool every_prefix = false;  // false: of one sentence only the best position counts for a key
    bool smallest = false;      // keep the most negative coefficients (< 0) instead, stored with their sign
  };
  /// Goes on from `table` (an empty one, or a checkpoint's). Throws argument_invalid if its arrays have not their sizes.
  /// Examples of a run that throws stay; seen again, they count once.
  TopTriggers(TriggerTable table, Options options);

  /// Says what the next run's sequences are, and no other run's: sentence s of the batch is corpus sentence ids[s], and its
  /// rows start with n_prefix tokens (beginning-of-text) that are not its own and end no prefix. Throws argument_invalid for an
  /// id below 0.
  void next_batch(std::span<const std::int64_t> sentence_ids, std::size_t n_prefix);

  Access access(Point point, std::size_t layer) const override;  // reads coefficients of every layer

  /// Throws argument_invalid where layer, width or sequence are not those of the table and next_batch(), and for rows that
  /// came before since then. Works in parallel, each OpenMP thread on its own keys.
  void read(const PointView& view) override;

  /// Valid as long as this hook; later runs change it.
  const TriggerTable& table() const noexcept { return table_; }

  /// Bytes this hook needs beside its table.
  static std::size_t scratch_bytes(std::size_t n_layers, std::size_t d_memory) noexcept;

 private:
  static constexpr std::size_t kWaiting = 16;  // a block of rows holds about as many sentences
  struct Waiting {
    float best;
    std::uint32_t sequence;
    std::int32_t position;
  };

  void check(const PointView& view) const;
  void read_units(const PointView& view, std::size_t begin, std::size_t end);

  // Of rows [first, last), which count once, and units [begin, end): each unit's best coefficient and its position.
  void find_best(const PointView& view, std::size_t first, std::size_t last, std::size_t begin, std::size_t end);
  // Those of them that may enter wait, until a unit has kWaiting or the block ends: a list takes several in one go.
  void collect(const PointView& view, std::size_t first, std::size_t begin, std::size_t end);
  void enter(std::size_t layer, std::size_t unit);

  TriggerTable table_;
  Options options_;
  std::vector<float> bar_;  // [L, d_m]: a coefficient above it may enter
  std::vector<std::int64_t> sentence_ids_;
  std::size_t n_prefix_ = 0;
  std::pair<std::size_t, std::size_t> next_place_{};  // layer, row: what is before them came since next_batch()

  // [d_m] each, every thread its own units' part.
  std::vector<float> best_;
  std::vector<std::int32_t> best_position_;
  std::vector<std::uint32_t> hits_;
  std::vector<Waiting> waiting_;  // [d_m, kWaiting]
  std::vector<std::uint32_t> n_waiting_;
  std::vector<float> negated_;  // for `smallest`
};

}  // namespace ffmem
