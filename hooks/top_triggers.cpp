#include "hooks/top_triggers.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <utility>

#include "hooks/checked_size.hpp"
#include "ops/error.hpp"
#include "ops/rounding.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// Smaller blocks are not worth waking other threads.
constexpr std::size_t kParallelElements = 16384;

// A thread's units begin at a cache line of the bars.
constexpr std::size_t kUnitsPerLine = 16;

struct Example {
  float coefficient;
  std::int64_t sentence;
  std::int32_t position;
};

/// The total order: true if a stands before b. Magnitudes, since all coefficients of one table have the same sign.
bool precedes(const Example& a, const Example& b) {
  const float x = std::fabs(a.coefficient);
  const float y = std::fabs(b.coefficient);
  if (x != y) return x > y;
  return a.sentence != b.sentence ? a.sentence < b.sentence : a.position < b.position;
}

/// One key's examples, best first.
class KeyList {
 public:
  KeyList(TriggerTable& table, std::size_t key)
      : t_(table.t),
        coefficient_(table.coefficient.data() + key * t_),
        sentence_(table.sentence.data() + key * t_),
        position_(table.position.data() + key * t_) {}

  /// Offers several at once, and may reorder them. Those behind all of the list in corpus order, nearly all where sentences
  /// come in order, are merged in together.
  void offer(std::span<Example> examples, bool every_prefix) {
    Example newest = last_in_corpus();
    std::size_t n_fresh = 0;
    for (const Example example : examples) {
      if (follows(example, newest, every_prefix)) {
        examples[n_fresh++] = newest = example;
      } else {
        enter(examples.first(std::exchange(n_fresh, 0)));
        offer(example, every_prefix);
      }
    }
    enter(examples.first(n_fresh));
  }

  /// Puts `example` in its place if it is among the t best, where a sentence (every_prefix: a position) counts once.
  void offer(const Example& example, bool every_prefix) {
    if (sentence_[t_ - 1] != -1 && !precedes(example, (*this)[t_ - 1])) return;
    std::size_t hole = place_of(example, every_prefix);
    if (hole < t_ && sentence_[hole] != -1 && !precedes(example, (*this)[hole])) return;
    hole = std::min(hole, t_ - 1);
    for (; hole > 0 && precedes(example, (*this)[hole - 1]); --hole) put(hole, (*this)[hole - 1]);
    put(hole, example);
  }

  /// The largest float such that every coefficient that may still enter is above it. An equal coefficient of an earlier
  /// sentence enters too, hence the float below the last one's; one of a later sentence is turned away by offer().
  float threshold() const {
    if (sentence_[t_ - 1] == -1) return 0.0F;
    return std::nextafter(std::fabs(coefficient_[t_ - 1]), 0.0F);
  }

 private:
  /// {0, -1, -1} of an empty list.
  Example last_in_corpus() const {
    Example last{0.0F, -1, -1};
    for (std::size_t i = 0; i < t_ && sentence_[i] != -1; ++i) {
      if (follows((*this)[i], last, true)) last = (*this)[i];
    }
    return last;
  }

  /// True if a comes after b in corpus order and counts for something else.
  static bool follows(const Example& a, const Example& b, bool every_prefix) {
    return a.sentence > b.sentence || (every_prefix && a.sentence == b.sentence && a.position > b.position);
  }

  /// Merges in examples of which none counts for the same thing as another of theirs or of the list. Sorts them.
  void enter(std::span<Example> fresh) {
    if (fresh.empty()) return;
    std::ranges::sort(fresh, precedes);
    std::size_t n_old = 0;
    while (n_old < t_ && sentence_[n_old] != -1) ++n_old;
    // From the last place to the first, so that no example is overwritten before it has moved; places from t on drop theirs.
    std::size_t n_new = fresh.size();
    while (n_new > 0) {
      const std::size_t place = n_old + n_new - 1;
      const bool old_is_last = n_old > 0 && precedes(fresh[n_new - 1], (*this)[n_old - 1]);
      const Example last = old_is_last ? (*this)[--n_old] : fresh[--n_new];
      if (place < t_) put(place, last);
    }
  }

  Example operator[](std::size_t i) const { return {coefficient_[i], sentence_[i], position_[i]}; }

  /// The entry that counts for the same thing as `example`, else the first empty one, else t.
  std::size_t place_of(const Example& example, bool every_prefix) const {
    std::size_t i = 0;
    for (; i < t_ && sentence_[i] != -1; ++i) {
      if (sentence_[i] == example.sentence && (!every_prefix || position_[i] == example.position)) break;
    }
    return i;
  }

  void put(std::size_t i, const Example& example) {
    coefficient_[i] = example.coefficient;
    sentence_[i] = example.sentence;
    position_[i] = example.position;
  }

  std::size_t t_;
  float* coefficient_;
  std::int64_t* sentence_;
  std::int32_t* position_;
};

/// The table's number of examples, whose arrays must have that size.
std::size_t checked_examples(const char* who, const TriggerTable& table) {
  const std::size_t n = checked_size(who, {table.n_layers, table.d_memory, table.t});
  if (table.t == 0 || table.coefficient.size() != n || table.sentence.size() != n || table.position.size() != n) {
    fail(ErrorCode::argument_invalid, who, ": expected arrays of ", n, " examples, at least 1 a key, found ",
         table.coefficient.size(), ", ", table.sentence.size(), " and ", table.position.size());
  }
  return n;
}

}  // namespace

TriggerTable::TriggerTable(std::size_t n_layers_, std::size_t d_memory_, std::size_t t_)
    : n_layers(n_layers_), d_memory(d_memory_), t(t_) {
  if (t == 0) fail(ErrorCode::argument_invalid, "TriggerTable: expected room for at least 1 example a key, found 0");
  const std::size_t n = checked_size("TriggerTable", {n_layers, d_memory, t});
  coefficient.assign(n, 0.0F);
  sentence.assign(n, -1);
  position.assign(n, -1);
}

std::size_t TriggerTable::bytes(std::size_t n_layers, std::size_t d_memory, std::size_t t) noexcept {
  return n_layers * d_memory * t * (sizeof(float) + sizeof(std::int64_t) + sizeof(std::int32_t));
}

TriggerTable merge(const TriggerTable& a, const TriggerTable& b, bool every_prefix) {
  if (a.n_layers != b.n_layers || a.d_memory != b.d_memory || a.t != b.t) {
    fail(ErrorCode::argument_invalid, "merge: trigger tables of [", a.n_layers, ", ", a.d_memory, ", ", a.t, "] and [",
         b.n_layers, ", ", b.d_memory, ", ", b.t, "] do not fit");
  }
  checked_examples("merge", a);
  checked_examples("merge", b);
  TriggerTable merged = a;
  for (std::size_t key = 0; key < a.n_layers * a.d_memory; ++key) {
    KeyList list(merged, key);
    for (std::size_t i = key * b.t; i < (key + 1) * b.t && b.sentence[i] != -1; ++i) {
      list.offer({b.coefficient[i], b.sentence[i], b.position[i]}, every_prefix);
    }
  }
  return merged;
}

TopTriggers::TopTriggers(TriggerTable table, Options options)
    : table_((checked_examples("TopTriggers", table), std::move(table))),
      options_(options),
      best_(table_.d_memory),
      best_position_(table_.d_memory),
      hits_(table_.d_memory),
      waiting_(table_.d_memory * kWaiting),
      n_waiting_(table_.d_memory),
      negated_(options.smallest ? table_.d_memory : 0) {
  const std::size_t n_keys = table_.n_layers * table_.d_memory;
  bar_.resize(n_keys);
  for (std::size_t key = 0; key < n_keys; ++key) bar_[key] = KeyList(table_, key).threshold();
}

void TopTriggers::next_batch(std::span<const std::int64_t> sentence_ids, std::size_t n_prefix) {
  for (const std::int64_t id : sentence_ids) {
    if (id < 0) fail(ErrorCode::argument_invalid, "TopTriggers: sentence ", id, ": expected one from 0");
  }
  sentence_ids_.assign(sentence_ids.begin(), sentence_ids.end());
  n_prefix_ = n_prefix;
  next_place_ = {};
}

Hook::Access TopTriggers::access(Point point, std::size_t /*layer*/) const {
  return point == Point::coefficients ? Access::read : Access::none;
}

std::size_t TopTriggers::scratch_bytes(std::size_t n_layers, std::size_t d_memory) noexcept {
  const std::size_t of_unit = 2 * sizeof(float) + sizeof(std::int32_t) + 2 * sizeof(std::uint32_t) + kWaiting * sizeof(Waiting);
  return n_layers * d_memory * sizeof(float) + d_memory * of_unit;
}

void TopTriggers::check(const PointView& view) const {
  if (view.layer >= table_.n_layers || view.values.cols != table_.d_memory) {
    fail(ErrorCode::argument_invalid, "TopTriggers: expected ", table_.d_memory, " coefficients of a layer below ",
         table_.n_layers, ", found ", view.values.cols, " of layer ", view.layer);
  }
  for (const RowOrigin& origin : view.origins) {
    if (origin.sequence >= sentence_ids_.size()) {
      fail(ErrorCode::argument_invalid, "TopTriggers: sequence ", origin.sequence, " of the batch is none of the ",
           sentence_ids_.size(), " that next_batch() was told of");
    }
  }
  if (std::pair(view.layer, view.first_row) < next_place_) {
    fail(ErrorCode::argument_invalid, "TopTriggers: expected next_batch() before each run, found row ", view.first_row,
         " of layer ", view.layer, " once more");
  }
}

void TopTriggers::read(const PointView& view) {
  check(view);
  next_place_ = {view.layer, view.first_row + view.values.rows};
  const std::size_t n_lines = ceil_div(table_.d_memory, kUnitsPerLine);
  announce_threads();
#pragma omp parallel if (view.values.rows * view.values.cols >= kParallelElements)
  {
    const auto n_threads = static_cast<std::size_t>(omp_get_num_threads());
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    const std::size_t begin = n_lines * thread / n_threads * kUnitsPerLine;
    const std::size_t end = n_lines * (thread + 1) / n_threads * kUnitsPerLine;
    read_units(view, std::min(begin, table_.d_memory), std::min(end, table_.d_memory));
  }
}

void TopTriggers::read_units(const PointView& view, std::size_t begin, std::size_t end) {
  const auto are_one_example = [&](std::size_t a, std::size_t b) {
    return !options_.every_prefix && view.origins[a].sequence == view.origins[b].sequence;
  };
  for (std::size_t first = 0, last = 0; first < view.values.rows; first = last) {
    for (last = first + 1; last < view.values.rows && are_one_example(first, last);) ++last;
    find_best(view, first, last, begin, end);
    collect(view, first, begin, end);
  }
  for (std::size_t unit = begin; unit < end; ++unit) enter(view.layer, unit);
}

void TopTriggers::find_best(const PointView& view, std::size_t first, std::size_t last, std::size_t begin, std::size_t end) {
  std::fill(best_.begin() + static_cast<std::ptrdiff_t>(begin), best_.begin() + static_cast<std::ptrdiff_t>(end), 0.0F);
  for (std::size_t r = first; r < last; ++r) {
    if (view.origins[r].position < n_prefix_) continue;
    const auto position = static_cast<std::int32_t>(view.origins[r].position - n_prefix_);
    const float* row = view.values.row_data(r);
    if (options_.smallest) {
      std::transform(row + begin, row + end, negated_.begin() + static_cast<std::ptrdiff_t>(begin), std::negate<>());
      row = negated_.data();
    }
    view.backend->keep_larger(row + begin, position, end - begin, best_.data() + begin, best_position_.data() + begin);
  }
}

void TopTriggers::collect(const PointView& view, std::size_t first, std::size_t begin, std::size_t end) {
  const float* bar = bar_.data() + view.layer * table_.d_memory;
  std::uint32_t* hits = hits_.data() + begin;
  const std::size_t n_hits = view.backend->find_above(best_.data() + begin, bar + begin, end - begin, hits);
  for (std::size_t h = 0; h < n_hits; ++h) {
    const std::size_t unit = begin + hits[h];
    waiting_[unit * kWaiting + n_waiting_[unit]++] = {best_[unit], view.origins[first].sequence, best_position_[unit]};
    if (n_waiting_[unit] == kWaiting) enter(view.layer, unit);
  }
}

void TopTriggers::enter(std::size_t layer, std::size_t unit) {
  const std::size_t n = std::exchange(n_waiting_[unit], 0U);
  if (n == 0) return;
  std::array<Example, kWaiting> examples;
  for (std::size_t i = 0; i < n; ++i) {
    const Waiting& w = waiting_[unit * kWaiting + i];
    examples[i] = {options_.smallest ? -w.best : w.best, sentence_ids_[w.sequence], w.position};
  }
  KeyList list(table_, layer * table_.d_memory + unit);
  list.offer(std::span(examples).first(n), options_.every_prefix);
  bar_[layer * table_.d_memory + unit] = list.threshold();
}

}  // namespace ffmem
