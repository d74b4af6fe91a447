#include "hooks/top_triggers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "ops/error.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"

using namespace ffmem;

namespace {

constexpr std::size_t kLayers = 2;
constexpr std::size_t kUnits = 37;  // no multiple of a thread's share
constexpr std::size_t kPrefix = 1;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// coefficient(layer, position, unit) of one sentence, its own positions only.
struct Sentence {
  std::int64_t id = 0;
  std::size_t length = 0;
  std::vector<float> coefficients;  // [L, length, units]
  float at(std::size_t layer, std::size_t position, std::size_t unit) const {
    return coefficients[(layer * length + position) * kUnits + unit];
  }
};

/// Few distinct values, so that ties are common; some zeros, NaN, infinities and denormals.
std::vector<Sentence> random_sentences(std::mt19937& rng, std::size_t n) {
  const std::vector<float> values{0, 0, -0.0F, -1, -2, 1, 2, 3, 0.5F, -3, -0.5F, kNan, 1e-42F, -1e-42F, 4, -4};
  std::vector<Sentence> sentences(n);
  for (std::size_t s = 0; s < n; ++s) {
    sentences[s].id = static_cast<std::int64_t>(3 * s + 1);
    sentences[s].length = rng() % 6;
    sentences[s].coefficients.resize(kLayers * sentences[s].length * kUnits);
    for (float& c : sentences[s].coefficients) c = rng() % 50 == 0 ? INFINITY : values[rng() % values.size()];
  }
  return sentences;
}

/// The definition: all examples, sorted, cut after t.
TriggerTable brute_force(const std::vector<Sentence>& sentences, std::size_t t, TopTriggers::Options options) {
  TriggerTable table(kLayers, kUnits, t);
  for (std::size_t key = 0; key < kLayers * kUnits; ++key) {
    std::vector<std::tuple<float, std::int64_t, std::int32_t>> examples;  // (-score, sentence, position)
    for (const Sentence& sentence : sentences) {
      std::vector<std::tuple<float, std::int64_t, std::int32_t>> own;
      for (std::size_t p = 0; p < sentence.length; ++p) {
        const float c = sentence.at(key / kUnits, p, key % kUnits);
        const float score = options.smallest ? -c : c;
        if (score > 0) own.emplace_back(-score, sentence.id, static_cast<std::int32_t>(p));
      }
      std::ranges::sort(own);
      if (!options.every_prefix && own.size() > 1) own.resize(1);
      examples.insert(examples.end(), own.begin(), own.end());
    }
    std::ranges::sort(examples);
    for (std::size_t i = 0; i < std::min(t, examples.size()); ++i) {
      const auto& [negative_score, sentence, position] = examples[i];
      table.coefficient[key * t + i] = options.smallest ? negative_score : -negative_score;
      table.sentence[key * t + i] = sentence;
      table.position[key * t + i] = position;
    }
  }
  return table;
}

void check_equal(const TriggerTable& found, const TriggerTable& expected) {
  CHECK(found.coefficient == expected.coefficient);
  CHECK(found.sentence == expected.sentence);
  CHECK(found.position == expected.position);
}

/// Feeds one batch: rows of all sentences, a beginning-of-text row before each, in blocks of 1 to 7 or up to 99 rows (more
/// examples of a key than wait for their places at once), layer by layer.
void feed(TopTriggers& hook, const std::vector<Sentence>& batch, std::mt19937& rng) {
  std::vector<std::int64_t> ids;
  std::vector<RowOrigin> origins;
  for (const Sentence& sentence : batch) {
    for (std::size_t p = 0; p < sentence.length + kPrefix; ++p) {
      origins.push_back({static_cast<std::uint32_t>(ids.size()), static_cast<std::uint32_t>(p)});
    }
    ids.push_back(sentence.id);
  }
  hook.next_batch(ids, kPrefix);
  const auto backend = make_scalar_backend();
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    for (std::size_t first = 0, rows = 0; first < origins.size(); first += rows) {
      rows = std::min<std::size_t>(1 + rng() % (rng() % 2 == 0 ? 7 : 99), origins.size() - first);
      std::vector<float> values(rows * kUnits, 9.0F);  // beginning-of-text rows would win
      for (std::size_t r = 0; r < rows; ++r) {
        const auto [sequence, position] = origins[first + r];
        if (position < kPrefix) continue;
        for (std::size_t u = 0; u < kUnits; ++u) values[r * kUnits + u] = batch[sequence].at(layer, position - kPrefix, u);
      }
      const std::span<const RowOrigin> block(origins.data() + first, rows);
      hook.read({Point::coefficients, layer, first, {values.data(), rows, kUnits}, block, backend.get()});
    }
  }
}

/// The sentences in batches of 1 to 5 or up to 40.
TriggerTable search(const std::vector<Sentence>& sentences, TriggerTable start, TopTriggers::Options options,
                    std::mt19937& rng) {
  TopTriggers hook(std::move(start), options);
  for (std::size_t first = 0, n = 0; first < sentences.size(); first += n) {
    n = std::min<std::size_t>(1 + rng() % (rng() % 2 == 0 ? 5 : 40), sentences.size() - first);
    feed(hook,
         {sentences.begin() + static_cast<std::ptrdiff_t>(first), sentences.begin() + static_cast<std::ptrdiff_t>(first + n)},
         rng);
  }
  return hook.table();
}

template <class Check>
void for_each_case(Check&& check) {
  for (unsigned seed = 0; seed < 24; ++seed) {
    const TopTriggers::Options options{.every_prefix = seed % 2 == 1, .smallest = seed % 4 >= 2};
    CAPTURE(seed);
    std::mt19937 rng(seed);
    const ThreadScope threads(1 + static_cast<int>(seed % 3));
    check(rng, options, 1 + rng() % 24);
  }
}

ErrorCode code_of(auto&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("no error");
  return {};
}

}  // namespace

TEST_CASE("top_triggers: equals the sorted list of all examples, in any order of sentences and however cut into blocks") {
  for_each_case([](std::mt19937& rng, TopTriggers::Options options, std::size_t t) {
    auto sentences = random_sentences(rng, 60);
    const auto expected = brute_force(sentences, t, options);
    check_equal(search(sentences, TriggerTable(kLayers, kUnits, t), options, rng), expected);
    std::ranges::shuffle(sentences, rng);
    check_equal(search(sentences, TriggerTable(kLayers, kUnits, t), options, rng), expected);
  });
}

TEST_CASE("top_triggers: goes on from an earlier table as if it had never stopped") {
  for_each_case([](std::mt19937& rng, TopTriggers::Options options, std::size_t t) {
    const auto sentences = random_sentences(rng, 60);
    const auto middle = sentences.begin() + static_cast<std::ptrdiff_t>(rng() % sentences.size());
    auto first = search({sentences.begin(), middle}, TriggerTable(kLayers, kUnits, t), options, rng);
    check_equal(search({middle, sentences.end()}, std::move(first), options, rng), brute_force(sentences, t, options));
  });
}

TEST_CASE("top_triggers: merging parts gives the whole, in any order and grouping, also where parts overlap") {
  for_each_case([](std::mt19937& rng, TopTriggers::Options options, std::size_t t) {
    const auto sentences = random_sentences(rng, 60);
    std::vector<std::vector<Sentence>> parts(3);
    for (const Sentence& sentence : sentences) {
      parts[rng() % 3].push_back(sentence);
      if (rng() % 8 == 0) parts[rng() % 3].push_back(sentence);
    }
    std::vector<TriggerTable> tables;
    tables.reserve(parts.size());
    for (const auto& part : parts) tables.push_back(search(part, TriggerTable(kLayers, kUnits, t), options, rng));
    const bool every = options.every_prefix;
    const auto expected = brute_force(sentences, t, options);
    check_equal(merge(merge(tables[0], tables[1], every), tables[2], every), expected);
    check_equal(merge(tables[0], merge(tables[1], tables[2], every), every), expected);
    check_equal(merge(tables[2], merge(tables[1], tables[0], every), every), expected);
    check_equal(merge(expected, expected, every), expected);
  });
}

TEST_CASE("top_triggers: a key that never fires has no examples") {
  TopTriggers hook(TriggerTable(1, 2, 3), {});
  hook.next_batch(std::vector<std::int64_t>{5}, 0);
  const std::vector<float> values{0, kNan};
  const std::vector<RowOrigin> origins{{0, 0}};
  const auto backend = make_scalar_backend();
  hook.read({Point::coefficients, 0, 0, {values.data(), 1, 2}, origins, backend.get()});
  check_equal(hook.table(), TriggerTable(1, 2, 3));
  CHECK(hook.table().sentence == std::vector<std::int64_t>(6, -1));
}

TEST_CASE("top_triggers: asks for coefficients of every layer and nothing else") {
  const TopTriggers hook(TriggerTable(1, 1, 1), {});
  for (const Point point : kAllPoints) {
    CHECK((hook.access(point, 3) == Hook::Access::read) == (point == Point::coefficients));
  }
}

TEST_CASE("top_triggers: sizes that do not fit are errors") {
  CHECK(code_of([] { TriggerTable(1, 1, 0); }) == ErrorCode::argument_invalid);
  CHECK(code_of([] { TriggerTable(1, 4, std::size_t{1} << 62U); }) == ErrorCode::argument_invalid);
  TriggerTable none(1, 1, 1);
  none.t = 0;
  none.coefficient = {};
  none.sentence = {};
  none.position = {};
  CHECK(code_of([&] { TopTriggers(none, {}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([] { merge(TriggerTable(1, 2, 3), TriggerTable(1, 2, 4), false); }) == ErrorCode::argument_invalid);
  TriggerTable broken(1, 2, 3);
  broken.position.pop_back();
  CHECK(code_of([&] { TopTriggers(broken, {}); }) == ErrorCode::argument_invalid);
  TriggerTable huge(1, 2, 3);
  huge.d_memory = std::size_t{1} << 61U;  // before anything of that size is made
  CHECK(code_of([&] { TopTriggers(huge, {}); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { merge(TriggerTable(1, 2, 3), broken, false); }) == ErrorCode::argument_invalid);

  TopTriggers hook(TriggerTable(1, 2, 3), {});
  CHECK(code_of([&] { hook.next_batch(std::vector<std::int64_t>{0, -1}, 0); }) == ErrorCode::argument_invalid);
  hook.next_batch(std::vector<std::int64_t>{0}, 0);
  const std::vector<float> values{1, 2};
  const auto backend = make_scalar_backend();
  const auto read = [&](std::size_t layer, std::size_t width, std::uint32_t sequence) {
    const std::vector<RowOrigin> origins{{sequence, 0}};
    hook.read({Point::coefficients, layer, 0, {values.data(), 1, width}, origins, backend.get()});
  };
  read(0, 2, 0);
  CHECK(code_of([&] { read(0, 2, 0); }) == ErrorCode::argument_invalid);  // a second run
  CHECK(code_of([&] { read(1, 2, 0); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { read(0, 1, 0); }) == ErrorCode::argument_invalid);
  CHECK(code_of([&] { read(0, 2, 1); }) == ErrorCode::argument_invalid);
}
