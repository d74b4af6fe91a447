// Rows come in blocks: later ones must say which rows of the batch they hold, and hold those.
#include <doctest/doctest.h>

#include <array>

#include "hooks/record.hpp"
#include "runtime/workspace.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

/// 40 sentences of 30 to 32 tokens, so that no block begins with a sentence.
Laid many_rows() {
  Sentences sentences;
  for (unsigned s = 0; s < 40; ++s) sentences.push_back(random_sentence(30 + s % 3, s));
  return Laid(sentences);
}

/// Compares the origins of every row at every point with the batch.
class OriginCheck : public Hook {
 public:
  explicit OriginCheck(const Laid& laid) {
    for (std::size_t s = 0; s + 1 < laid.offsets.size(); ++s) {
      for (std::size_t p = 0; p < laid.offsets[s + 1] - laid.offsets[s]; ++p) rows_.push_back({s, p});
    }
  }

  Access access(Point, std::size_t) const override { return Access::read; }

  void read(const PointView& view) override {
    CAPTURE(name(view.point));
    CAPTURE(view.layer);
    std::size_t& n_seen = seen[static_cast<std::size_t>(view.point)];
    CHECK(view.first_row == n_seen % rows_.size());
    REQUIRE(view.first_row + view.values.rows <= rows_.size());
    REQUIRE(view.origins.size() == view.values.rows);
    std::size_t n_wrong = 0;
    for (std::size_t r = 0; r < view.values.rows; ++r) {
      const auto& [sequence, position] = rows_[view.first_row + r];
      n_wrong += view.origins[r].sequence == sequence && view.origins[r].position == position ? 0 : 1;
    }
    CHECK(n_wrong == 0);
    n_seen += view.values.rows;
    ++calls[static_cast<std::size_t>(view.point)];
  }

  std::array<std::size_t, kNumPoints> seen{};   // rows, of all layers together
  std::array<std::size_t, kNumPoints> calls{};  // likewise

 private:
  std::vector<std::array<std::size_t, 2>> rows_;  // of the batch: sequence, position
};

}  // namespace

TEST_CASE("session: every block of rows tells where its rows sit, at every point") {
  const Laid laid = many_rows();
  REQUIRE(laid.tokens.size() > 2 * kFeedForwardRows);
  OriginCheck check(laid);
  Hook* const hooks[] = {&check};
  Session session(tiny_model(), {.max_sequences = 40, .max_batch_tokens = laid.tokens.size()});
  session.run(laid.batch(), LogitsRows::none, hooks);
  for (const Point point : kAllPoints) {
    CAPTURE(name(point));
    const std::size_t n_layers = is_per_layer(point) ? tiny_model()->config().n_layers : 1;
    CHECK(check.seen[static_cast<std::size_t>(point)] == n_layers * laid.tokens.size());
  }
  // Else no later block was looked at.
  CHECK(check.calls[static_cast<std::size_t>(Point::coefficients)] >= 3 * tiny_model()->config().n_layers);
  CHECK(check.calls[static_cast<std::size_t>(Point::logits)] >= 3);
}

TEST_CASE("session: a hook sees the logits that a run returns, block by block where it returns none") {
  const Laid laid = many_rows();
  const SessionOptions options{.max_sequences = 40, .max_batch_tokens = laid.tokens.size()};
  Session returning(tiny_model(), options);
  const std::vector<float> expected = rows_of(returning.run(laid.batch(), LogitsRows::all));
  Record record({.points = {Point::logits}});
  Hook* const hooks[] = {&record};
  Session showing(tiny_model(), options);
  CHECK(showing.run(laid.batch(), LogitsRows::none, hooks).rows == 0);
  CHECK(rows_of(record.at(Point::logits)) == expected);
}

}  // namespace ffmem
