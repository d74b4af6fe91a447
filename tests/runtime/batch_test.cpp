// Batches of several sequences: each goes on in its own slot, its last row is its own, and what does not fit is refused.
#include <doctest/doctest.h>

#include <array>

#include "hooks/record.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kSequences = 3;
using Lengths = std::array<std::size_t, kSequences>;

Sentences sentences_of(const Lengths& lengths, unsigned seed) {
  Sentences sentences;
  for (const std::size_t length : lengths) sentences.push_back(random_sentence(length, seed++));
  return sentences;
}

Lengths lengths_of(const Session& session) { return {session.length(0), session.length(1), session.length(2)}; }

/// Runs the batch in `session` and each of its sentences in a session of its own: the rows must have the same bits.
void check_next(Session& session, std::array<Session, kSequences>& alone, const Sentences& sentences) {
  const Laid laid(sentences);
  const ConstMatrixView logits = session.run(laid.batch(), LogitsRows::all);
  for (std::size_t s = 0; s < kSequences; ++s) {
    CAPTURE(s);
    CHECK(rows_of(logits, laid.offsets[s], laid.offsets[s + 1]) == rows_of(alone[s].run(sentences[s], LogitsRows::all)));
  }
}

/// What a logits hook saw of one run's rows.
class LogitsOrigins : public Hook {
 public:
  Access access(Point point, std::size_t) const override { return point == Point::logits ? Access::read : Access::none; }
  void read(const PointView& view) override {
    CHECK(view.first_row == 0);
    REQUIRE(view.origins.size() == view.values.rows);
    for (const RowOrigin& origin : view.origins) seen.push_back({origin.sequence, origin.position});
  }
  std::vector<std::array<std::size_t, 2>> seen;  // sequence, position
};

}  // namespace

TEST_CASE("session: a batch of several slots goes on where each slot stands, and truncate shortens one") {
  const SessionOptions options{.context = 12};
  Session session(tiny_model(), {.max_sequences = kSequences, .context = 12});
  std::array<Session, kSequences> alone{Session(tiny_model(), options), Session(tiny_model(), options),
                                        Session(tiny_model(), options)};
  check_next(session, alone, sentences_of({7, 1, 4}, 10));
  CHECK(lengths_of(session) == Lengths{7, 1, 4});
  // Longer than slot 0 has room for.
  check_next(session, alone, sentences_of({2, 6, 1}, 20));
  CHECK(lengths_of(session) == Lengths{9, 7, 5});

  session.truncate(1, 3);
  alone[1].truncate(0, 3);
  CHECK(lengths_of(session) == Lengths{9, 3, 5});
  check_next(session, alone, sentences_of({1, 2, 3}, 30));
  CHECK(lengths_of(session) == Lengths{10, 5, 8});
}

TEST_CASE("session: a batch in which one slot would pass the context is refused, and no slot moves") {
  Session session(tiny_model(), {.max_sequences = kSequences, .context = 8, .max_batch_tokens = 16});
  session.run(Laid(sentences_of({1, 2, 6}, 1)).batch(), LogitsRows::none);
  const Laid too_long(sentences_of({1, 1, 3}, 2));
  CHECK(thrown([&] { session.run(too_long.batch(), LogitsRows::none); }).code() == ErrorCode::context_exceeded);
  CHECK(lengths_of(session) == Lengths{1, 2, 6});
}

TEST_CASE("session: the logits of last rows are each sequence's own, with a hook at final_hidden too") {
  const Sentences first = sentences_of({5, 3, 6}, 40);
  const Sentences second = sentences_of({1, 4, 2}, 50);
  Session all_rows(tiny_model(), {.max_sequences = kSequences});
  Session last_rows(tiny_model(), {.max_sequences = kSequences});
  Session observed(tiny_model(), {.max_sequences = kSequences});
  for (const Sentences& sentences : {first, second}) {
    const Laid laid(sentences);
    const ConstMatrixView all = all_rows.run(laid.batch(), LogitsRows::all);
    std::vector<float> expected;
    std::vector<std::array<std::size_t, 2>> expected_origins;
    for (std::size_t s = 0; s < kSequences; ++s) {
      append_rows(all, laid.offsets[s + 1] - 1, laid.offsets[s + 1], expected);
      expected_origins.push_back({s, all_rows.length(s) - 1});
    }

    LogitsOrigins origins;
    Hook* const hooks[] = {&origins};
    CHECK(rows_of(last_rows.run(laid.batch(), LogitsRows::last, hooks)) == expected);
    CHECK(origins.seen == expected_origins);

    Record record({.points = {Point::final_hidden}});
    LogitsOrigins with_hidden;
    Hook* const both[] = {&record, &with_hidden};
    CHECK(rows_of(observed.run(laid.batch(), LogitsRows::last, both)) == expected);
    CHECK(with_hidden.seen == expected_origins);
    CHECK(record.at(Point::final_hidden).rows == laid.tokens.size());
  }
}

TEST_CASE("session: a batch has at most max_batch_tokens tokens, also where the context has room for more") {
  Session session(tiny_model(), {.max_batch_tokens = 4});
  const std::vector<TokenId> tokens{1, 2, 3, 4, 5};
  CHECK(thrown([&] { session.run(tokens, LogitsRows::none); }).code() == ErrorCode::context_exceeded);
  CHECK(session.length(0) == 0);
  session.run(std::span(tokens).first(4), LogitsRows::none);
  session.run(std::span(tokens).first(4), LogitsRows::none);
  CHECK(session.length(0) == 8);
}

TEST_CASE("session: offsets that do not begin at the first token are refused") {
  Session session(tiny_model());
  const std::vector<TokenId> tokens{1, 2, 3};
  const std::vector<std::size_t> offsets{1, 3};
  CHECK(thrown([&] { session.run({tokens, offsets}, LogitsRows::none); }).code() == ErrorCode::argument_invalid);
  CHECK(session.length(0) == 0);
}

}  // namespace ffmem
