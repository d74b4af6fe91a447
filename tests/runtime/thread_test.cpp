// Threads: how many a session's runs use, and sessions of several threads over one model.
#include <doctest/doctest.h>

#include <barrier>
#include <stdexcept>
#include <thread>

#include "ops/threads.hpp"
#include "tests/runtime/counting_backend.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

/// Keeps how many threads the operators of a run have.
class ThreadCount : public Hook {
 public:
  explicit ThreadCount(bool throws = false) : throws_(throws) {}
  Access access(Point point, std::size_t layer) const override {
    return point == Point::coefficients && layer == 1 ? Access::read : Access::none;
  }
  void read(const PointView&) override {
    found = available_threads();
    if (throws_) throw std::runtime_error("the hook's own trouble");
  }
  int found = 0;

 private:
  bool throws_;
};

constexpr std::size_t kThreads = 4;

/// Lets the runs of all threads go on to the output head together.
class Together : public Hook {
 public:
  explicit Together(std::barrier<>& barrier) : barrier_(barrier) {}
  Access access(Point point, std::size_t) const override { return point == Point::final_hidden ? Access::read : Access::none; }
  void read(const PointView&) override { barrier_.arrive_and_wait(); }

 private:
  std::barrier<>& barrier_;
};

/// The logits of each sentence, each by a thread of its own.
std::vector<std::vector<float>> logits_by_threads(const std::shared_ptr<const Model>& model, const Sentences& sentences) {
  std::vector<std::vector<float>> logits(sentences.size());
  std::barrier<> at_head(static_cast<std::ptrdiff_t>(sentences.size()));
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < sentences.size(); ++t) {
    threads.emplace_back([&, t] {
      Together together(at_head);
      Hook* const hooks[] = {&together};
      Session session(model);
      logits[t] = rows_of(session.run(sentences[t], LogitsRows::all, hooks));
    });
  }
  for (std::jthread& thread : threads) thread.join();
  return logits;
}

}  // namespace

TEST_CASE("session: a run has the threads that the session asks for, and the caller's number stands again after it") {
  const std::vector<TokenId> tokens{1, 2, 3};
  const int before = available_threads();
  {
    const ThreadScope callers(2);
    Session three(tiny_model(), {.n_threads = 3});
    CHECK(available_threads() == 2);
    ThreadCount count;
    Hook* const hooks[] = {&count};
    three.run(tokens, LogitsRows::none, hooks);
    CHECK(count.found == 3);
    CHECK(available_threads() == 2);

    ThreadCount thrower(true);
    Hook* const throwing[] = {&thrower};
    CHECK_THROWS_AS(three.run(tokens, LogitsRows::none, throwing), std::runtime_error);
    CHECK(thrower.found == 3);
    CHECK(available_threads() == 2);

    Session as_available(tiny_model());
    as_available.run(tokens, LogitsRows::none, hooks);
    CHECK(count.found == 2);
  }
  CHECK(available_threads() == before);
}

TEST_CASE("session: threads that share a fresh model have the bits of one, and make its output head ready once") {
  Sentences sentences;
  std::vector<std::vector<float>> expected;
  for (unsigned t = 0; t < kThreads; ++t) {
    sentences.push_back(random_sentence(32, t));
    Session session(tiny_model());
    expected.push_back(rows_of(session.run(sentences.back(), LogitsRows::all)));
  }

  const auto backend = std::make_shared<const CountingBackend>();
  for (int round = 0; round < 20; ++round) {  // what only sometimes goes wrong has more than one chance
    const auto model = Model::load(FFMEM_TEST_DATA "/hf/gpt2-relu", {.backend = backend});
    backend->n_prepared = 0;
    CHECK(logits_by_threads(model, sentences) == expected);
    CHECK(backend->n_prepared == 1);  // 64 words are one block
  }
}

}  // namespace ffmem
