#include "runtime/session.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "hooks/record.hpp"
#include "ops/error.hpp"
#include "runtime/workspace.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

std::shared_ptr<const Model> demo_model() {
  static const auto model = Model::load(FFMEM_DEMO_MODEL);
  return model;
}

Sentences random_sentences(std::size_t n, std::size_t longest, std::size_t vocab_size, unsigned seed) {
  std::mt19937 random(seed);
  Sentences sentences(n);
  for (auto& sentence : sentences) {
    sentence.resize(1 + random() % longest);
    for (TokenId& token : sentence) token = static_cast<TokenId>(random() % vocab_size);
  }
  return sentences;
}

/// What one sentence produced: its logits and all coefficients, laid end to end.
struct Trace {
  std::vector<float> logits;
  std::vector<std::vector<float>> coefficients;  // [L]
  bool operator==(const Trace&) const = default;
};

Record coefficient_record() { return Record({.points = {Point::coefficients}}); }

/// Runs all sentences as one ragged batch and takes the result apart again.
std::vector<Trace> run_together(const std::shared_ptr<const Model>& model, const Sentences& sentences, int n_threads,
                                bool keep_cache) {
  const Laid laid(sentences);
  Session session(model, {.max_sequences = sentences.size(),
                          .max_batch_tokens = laid.tokens.size(),
                          .keep_cache = keep_cache,
                          .n_threads = n_threads});
  Record record = coefficient_record();
  Hook* const hooks[] = {&record};
  const ConstMatrixView logits = session.run(laid.batch(), LogitsRows::all, hooks);
  std::vector<Trace> traces(sentences.size());
  for (std::size_t s = 0; s < sentences.size(); ++s) {
    append_rows(logits, laid.offsets[s], laid.offsets[s + 1], traces[s].logits);
    traces[s].coefficients.resize(model->config().n_layers);
    for (std::size_t l = 0; l < model->config().n_layers; ++l) {
      append_rows(record.at(Point::coefficients, l), laid.offsets[s], laid.offsets[s + 1], traces[s].coefficients[l]);
    }
  }
  return traces;
}

Trace run_token_by_token(const std::shared_ptr<const Model>& model, const std::vector<TokenId>& sentence) {
  Session session(model, {.max_batch_tokens = 1});
  Trace trace;
  trace.coefficients.resize(model->config().n_layers);
  for (const TokenId token : sentence) {
    Record record = coefficient_record();
    Hook* const hooks[] = {&record};
    append_rows(session.run(std::span(&token, 1), LogitsRows::last, hooks), 0, 1, trace.logits);
    for (std::size_t l = 0; l < model->config().n_layers; ++l) {
      append_rows(record.at(Point::coefficients, l), 0, 1, trace.coefficients[l]);
    }
  }
  return trace;
}

void check_invariance(const std::shared_ptr<const Model>& model, const Sentences& sentences) {
  const std::vector<Trace> together = run_together(model, sentences, 1, true);
  CHECK(together == run_together(model, sentences, 2, true));
  CHECK(together == run_together(model, sentences, 2, false));

  Sentences reversed(sentences.rbegin(), sentences.rend());
  std::vector<Trace> in_other_order = run_together(model, reversed, 2, true);
  std::ranges::reverse(in_other_order);
  CHECK(together == in_other_order);

  for (std::size_t s = 0; s < sentences.size(); ++s) {
    CAPTURE(s);
    CHECK(together[s] == run_together(model, {sentences[s]}, 1, true).front());
    CHECK(together[s] == run_token_by_token(model, sentences[s]));
  }
}

/// Reads everything and changes nothing.
class Bystander : public Hook {
 public:
  explicit Bystander(Access access) : access_(access) {}
  Access access(Point, std::size_t) const override { return access_; }
  void read(const PointView& view) override { rows += view.values.rows; }
  void write(const MutablePointView& view) override { rows += view.values.rows; }
  std::size_t rows = 0;

 private:
  Access access_;
};

class Thrower : public Hook {
 public:
  Access access(Point point, std::size_t layer) const override {
    return point == Point::coefficients && layer == 1 ? Access::read : Access::none;
  }
  void read(const PointView&) override { throw std::runtime_error("the hook's own trouble"); }
};

std::vector<float> last_logits(Session& session, const std::vector<TokenId>& tokens, std::span<Hook* const> hooks = {}) {
  std::vector<float> logits;
  append_rows(session.run(tokens, LogitsRows::last, hooks), 0, 1, logits);
  return logits;
}

ErrorCode code_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("nothing was thrown");
  return {};
}

}  // namespace

TEST_CASE("session: a sentence has the same bits alone, in company, in another order, threaded, and token by token") {
  check_invariance(tiny_model(),
                   random_sentences(200, tiny_model()->config().max_positions, tiny_model()->config().vocab_size, 1));
}

TEST_CASE("session: the trained model's bits do not depend on the batch either") {
  check_invariance(demo_model(), random_sentences(6, 40, demo_model()->config().vocab_size, 2));
}

TEST_CASE("session: hooks that change nothing leave the logits bit-identical and see every row of every point") {
  const std::vector<TokenId> tokens{5, 6, 7, 8, 9};
  Session plain(tiny_model());
  const std::vector<float> expected = last_logits(plain, tokens);
  for (const Hook::Access access : {Hook::Access::read, Hook::Access::write}) {
    Session session(tiny_model());
    Bystander bystander(access);
    Hook* const hooks[] = {&bystander};
    CHECK(last_logits(session, tokens, hooks) == expected);
    // Eight points a layer and final_hidden see every row; logits those that are returned.
    CHECK(bystander.rows == tokens.size() * (8 * tiny_model()->config().n_layers + 1) + 1);
  }
}

TEST_CASE("session: a hook that throws leaves the session where it stood, and is gone in the next run") {
  const std::vector<TokenId> tokens{1, 2, 3};
  Session reference(tiny_model());
  last_logits(reference, tokens);
  const std::vector<float> expected = last_logits(reference, {4});

  Session session(tiny_model());
  last_logits(session, tokens);
  Thrower thrower;
  Hook* const hooks[] = {&thrower};
  CHECK_THROWS_AS(last_logits(session, {4}, hooks), std::runtime_error);
  CHECK(session.length(0) == tokens.size());
  CHECK(last_logits(session, {4}) == expected);
}

TEST_CASE("session: a hook cannot use the session that runs it, and can use another of the same model") {
  class Inside : public Hook {
   public:
    explicit Inside(Session& session) : session_(session) {}
    Access access(Point point, std::size_t layer) const override {
      return point == Point::ffn_in && layer == 0 ? Access::read : Access::none;
    }
    void read(const PointView&) override {
      run_code = code_of([&] { last_logits(session_, {1}); });
      truncate_code = code_of([&] { session_.truncate(0, 0); });
      Session other(tiny_model());
      of_other = last_logits(other, {1, 2, 3});
    }
    ErrorCode run_code{};
    ErrorCode truncate_code{};
    std::vector<float> of_other;

   private:
    Session& session_;
  };
  Session session(tiny_model());
  const std::vector<float> expected = last_logits(session, {1, 2, 3});
  session.truncate(0, 0);
  Inside inside(session);
  Hook* const hooks[] = {&inside};
  CHECK(last_logits(session, {1, 2, 3}, hooks) == expected);
  CHECK(inside.run_code == ErrorCode::argument_invalid);
  CHECK(inside.truncate_code == ErrorCode::argument_invalid);
  CHECK(inside.of_other == expected);
  CHECK(session.length(0) == 3);
}

TEST_CASE("session: no model and no hook are refused") {
  CHECK(code_of([] { Session(nullptr); }) == ErrorCode::argument_invalid);
  Session session(tiny_model());
  Hook* const hooks[] = {nullptr};
  CHECK(code_of([&] { last_logits(session, {1}, hooks); }) == ErrorCode::argument_invalid);
}

TEST_CASE("session: truncate goes back to an earlier position") {
  Session session(tiny_model());
  last_logits(session, {1, 2, 3});
  const std::vector<float> expected = last_logits(session, {4});
  session.truncate(0, 3);
  CHECK(last_logits(session, {4}) == expected);
  session.truncate(0, 100);
  CHECK(session.length(0) == 4);
}

TEST_CASE("session: a hook at the logits of a run without logits sees every row") {
  const std::vector<TokenId> tokens{9, 8, 7, 6};
  Session session(tiny_model());
  std::vector<float> expected;
  append_rows(session.run(tokens, LogitsRows::all), 0, tokens.size(), expected);
  Record record({.points = {Point::logits}});
  Hook* const hooks[] = {&record};
  Session other(tiny_model());
  other.run(tokens, LogitsRows::none, hooks);
  std::vector<float> seen;
  append_rows(record.at(Point::logits), 0, tokens.size(), seen);
  CHECK(seen == expected);
}

TEST_CASE("session: its memory is counted without being taken, and no size overflows") {
  ModelConfig config = tiny_model()->config();
  config.max_positions = std::size_t{1} << 26;
  const Session::Memory memory = Session::memory(config, {});
  const std::size_t of_position = 2 * sizeof(float) * config.d_model;  // 2^26 positions are whole blocks
  CHECK(memory.kv_cache_bytes == of_position * config.n_layers * config.max_positions);
  const Session::Memory passing = Session::memory(config, {.max_sequences = 3, .max_batch_tokens = 500, .keep_cache = false});
  CHECK(passing.kv_cache_bytes >= of_position * 500);
  CHECK(passing.kv_cache_bytes < of_position * (500 + 3 * kKeyBlock));
  CHECK(memory.workspace_bytes > 7 * sizeof(float) * config.max_positions * config.d_model);
  config.n_layers = 8192;
  config.n_heads = config.n_kv_heads = 65'536;
  config.head_dim = 16;
  CHECK(code_of([&] { Session::memory(config, {.max_sequences = 64}); }) == ErrorCode::argument_invalid);
  const ModelConfig& small = tiny_model()->config();
  CHECK(Session::memory(small, {.max_batch_tokens = 7}).workspace_bytes >= Workspace(small, 7).bytes());
}

TEST_CASE("session: what does not fit is refused before anything runs") {
  const std::size_t context = tiny_model()->config().max_positions;
  const auto vocab_size = static_cast<TokenId>(tiny_model()->config().vocab_size);
  Session session(tiny_model());
  const std::vector<TokenId> good{1, 2, 3};
  const std::vector<std::size_t> gap{0, 2, 2, 3};
  const std::vector<std::size_t> short_offsets{0, 2};
  const std::vector<std::size_t> two{0, 1, 3};
  CHECK(code_of([&] { last_logits(session, {1, vocab_size}); }) == ErrorCode::token_out_of_range);
  CHECK(code_of([&] { last_logits(session, {-1}); }) == ErrorCode::token_out_of_range);
  CHECK(code_of([&] { last_logits(session, std::vector<TokenId>(context + 1, 1)); }) == ErrorCode::context_exceeded);
  CHECK(code_of([&] { last_logits(session, {}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { session.run({good, gap}, LogitsRows::none); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { session.run({good, short_offsets}, LogitsRows::none); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { session.run({good, two}, LogitsRows::none); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { Session(tiny_model(), {.context = context + 1}); }) == ErrorCode::context_exceeded);
  CHECK(code_of([&] { Session(tiny_model(), {.max_sequences = 0}); }) == ErrorCode::argument_invalid);
  const std::size_t huge = std::size_t{1} << 60;
  CHECK(code_of([&] { Session(tiny_model(), {.max_sequences = huge}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { Session(tiny_model(), {.max_batch_tokens = huge}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { Session(tiny_model(), {.n_threads = 100'000}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { Session::memory(ModelConfig{}, {}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { session.truncate(1, 0); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { session.length(1); }) == ErrorCode::argument_invalid);
  CHECK(session.length(0) == 0);

  last_logits(session, std::vector<TokenId>(context, 1));
  CHECK(code_of([&] { last_logits(session, {1}); }) == ErrorCode::context_exceeded);
}

}  // namespace ffmem
