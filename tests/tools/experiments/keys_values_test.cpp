#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "hooks/record.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/aligned_buffer.hpp"
#include "runtime/session.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/coefficient_reads.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/predictive_values.hpp"
#include "tools/experiments/token_removal.hpp"
#include "tools/experiments/trigger_patterns.hpp"
#include "tools/experiments/value_agreement.hpp"
#include "tools/experiments/value_scores.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// The coefficient of a key at the last token, from a run of nothing else.
float coefficient_alone(const Workbench& bench, std::vector<TokenId> tokens, std::size_t layer, std::size_t unit) {
  if (bench.prefix_token()) tokens.insert(tokens.begin(), *bench.prefix_token());
  Session session(bench.model(), {.context = tokens.size(), .keep_cache = false});
  Record record({.points = {Point::coefficients}});
  const std::array<Hook*, 1> hooks{&record};
  session.run(tokens, LogitsRows::none, hooks);
  return record.at(Point::coefficients, layer).row(tokens.size() - 1)[unit];
}

/// Log-probabilities of the vocabulary for a value, put bare into the softmax.
std::vector<float> distribution(const Model& model, std::size_t layer, std::size_t unit) {
  const OutputHead& head = model.head();
  const AlignedBuffer value(model.config().d_model);
  const AlignedBuffer hidden(head.hidden_width());
  std::vector<float> log_p(head.vocab_size());
  model.value_row(layer, unit, value.data());
  head.to_hidden(value.matrix(1, value.size()), Lens::raw, hidden.matrix(1, hidden.size()));
  head.log_probabilities(hidden.matrix(1, hidden.size()), MatrixView(log_p.data(), 1, log_p.size()));
  return log_p;
}

template <class Test>
void for_each_model(Test test) {
  for (const std::string& golden : kKeyValueGoldens) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    Workbench bench(model.options());
    test(bench);
  }
}

Estimate estimate_of(const Result& result, const std::string& name) {
  const auto found = std::ranges::find(result.estimates, name, &std::pair<std::string, Estimate>::first);
  REQUIRE_MESSAGE(found != result.estimates.end(), name);
  return found->second;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

TEST_CASE("read_coefficients: what a batch gives has the bits of each prefix run alone") {
  for_each_model([](const Workbench& bench) {
    const std::size_t last = bench.n_layers() - 1;
    // A prefix of another, the same twice for two keys, a deep and a shallow key, and one that shares only a beginning.
    const std::vector<CoefficientRead> reads{
        {.tokens = {5, 6, 7, 8}, .layer = 0, .unit = 3}, {.tokens = {5, 6}, .layer = last, .unit = 1},
        {.tokens = {5, 6}, .layer = 0, .unit = 0},       {.tokens = {9}, .layer = last, .unit = 2},
        {.tokens = {5, 9, 7}, .layer = 1, .unit = 4},    {.tokens = {6, 7, 8, 9, 10, 11, 12, 13, 14}, .layer = 1, .unit = 5}};
    for (const std::size_t batch_tokens : {std::size_t{1}, std::size_t{7}, std::size_t{1024}}) {
      const std::vector<float> found =
          read_coefficients(bench.model(), reads, {.prefix_token = bench.prefix_token(), .batch_tokens = batch_tokens});
      REQUIRE(found.size() == reads.size());
      for (std::size_t i = 0; i < reads.size(); ++i) {
        CHECK(found[i] == coefficient_alone(bench, reads[i].tokens, reads[i].layer, reads[i].unit));
      }
    }
  });
}

TEST_CASE("read_coefficients: a layer, a unit or a prefix that is not there is an error, and nothing asked is nothing done") {
  const ExperimentModel model;
  const Workbench bench(model.options());
  const auto error = [&](const CoefficientRead& read) {
    return thrown([&] { read_coefficients(bench.model(), std::span(&read, 1), {}); }).code();
  };
  CHECK(error({.tokens = {5}, .layer = bench.n_layers(), .unit = 0}) == ErrorCode::layer_out_of_range);
  CHECK(error({.tokens = {5}, .layer = 0, .unit = bench.d_memory()}) == ErrorCode::unit_out_of_range);
  CHECK(error({.tokens = {}, .layer = 0, .unit = 0}) == ErrorCode::argument_invalid);
  CHECK(read_coefficients(bench.model(), {}, {}).empty());
}

TEST_CASE("token-removal: every coefficient is that of the shortened prefix run alone; prefixes of one token are skipped") {
  for_each_model([](Workbench& bench) {
    const RemovedCoefficients table = removed_coefficients(bench);
    REQUIRE(table.n_keys == 4);
    std::size_t n_short = 0;
    for (std::size_t at = 0; at < table.coefficient.size(); ++at) {
      const std::size_t layer = at / table.top / table.n_keys;
      const auto unit = static_cast<std::size_t>(table.unit[at / table.top]);
      const auto examples = bench.triggers().examples(layer, unit);
      const std::size_t e = at % table.top;
      const std::span<const float> removed = std::span(table.removed_coefficient).subspan(at * kRemovals, kRemovals);
      if (e >= examples.size() || examples[e].prefix.size() == 1) {
        n_short += e < examples.size() ? 1 : 0;
        CHECK(std::ranges::all_of(removed, [](float m) { return std::isnan(m); }));
        continue;
      }
      const std::span<const TokenId> prefix = examples[e].prefix;
      CHECK(table.coefficient[at] == examples[e].coefficient);
      CHECK(table.n_prefix_tokens[at] == static_cast<std::int32_t>(prefix.size()));
      const auto random = static_cast<std::size_t>(table.random_position[at]);
      REQUIRE(random < prefix.size());
      const std::array positions{std::size_t{0}, prefix.size() - 1, random};
      for (std::size_t r = 0; r < kRemovals; ++r) {
        std::vector<TokenId> shortened(prefix.begin(), prefix.end());
        shortened.erase(shortened.begin() + static_cast<std::ptrdiff_t>(positions[r]));
        CHECK(removed[r] == coefficient_alone(bench, shortened, layer, unit));
      }
    }
    CHECK(n_short > 0);
  });
}

TEST_CASE("token-removal: a run goes on from what an ended one left, if that is of the same search") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const RemovedCoefficients whole = removed_coefficients(bench);
  const auto stored = model.texts().path() / "out" / "data" / "token-removal.safetensors";
  const std::string bytes = read_text_file(stored);
  Origin origin = SafetensorsFile(stored).metadata();

  // A left number that no run gives shows whether it was taken over; the others are still to come.
  const auto known =
      static_cast<std::size_t>(std::ranges::find_if(whole.removed_coefficient, [](float m) { return !std::isnan(m); }) -
                               whole.removed_coefficient.begin());
  std::vector<float> left(whole.removed_coefficient.size(), std::numeric_limits<float>::quiet_NaN());
  left[known] = 123.0F;
  const auto go_on = [&] {
    const auto partial = stored.string() + ".partial";
    write_safetensors(partial, {{"removed_coefficient", DType::f32, {left.size()}, left.data()}}, origin);
    std::filesystem::remove(stored);
    RemovedCoefficients table = removed_coefficients(bench);
    CHECK(!std::filesystem::exists(partial));
    return table;
  };
  RemovedCoefficients table = go_on();
  CHECK(table.removed_coefficient[known] == 123.0F);
  table.removed_coefficient[known] = whole.removed_coefficient[known];
  CHECK(std::ranges::equal(table.removed_coefficient, whole.removed_coefficient, same));

  origin["seed"] = "another";
  go_on();
  CHECK(read_text_file(stored) == bytes);
}

TEST_CASE("token-removal: the change of a layer is the mean over keys of the mean over their examples") {
  const ExperimentModel model("hf/llama");
  Workbench bench(model.options());
  const RemovedCoefficients table = removed_coefficients(bench);
  const Result result = token_removal(bench);
  for (std::size_t r = 0; r < kRemovals; ++r) {
    double sum = 0.0;
    double n_keys = 0.0;
    for (std::size_t k = 0; k < table.n_keys; ++k) {
      double of_key = 0.0;
      double n = 0.0;
      for (std::size_t at = k * table.top; at < (k + 1) * table.top; ++at) {
        if (table.n_prefix_tokens[at] < 2) continue;
        const double before = table.coefficient[at];
        of_key += 100.0 * (static_cast<double>(table.removed_coefficient[at * kRemovals + r]) - before) / before;
        n += 1.0;
      }
      if (n == 0.0) continue;
      sum += of_key / n;
      n_keys += 1.0;
    }
    const Estimate& found = estimate_of(result, "layer 1 " + std::string(kRemovalNames[r]) + " %");
    CHECK(found.value == doctest::Approx(sum / n_keys).epsilon(1e-12));
    CHECK(found.n == static_cast<std::size_t>(n_keys));
    CHECK(found.low <= found.value);
    CHECK(found.high >= found.value);
  }
}

TEST_CASE("value-scores: ranks and log-probabilities are those in each value's whole distribution") {
  for_each_model([](Workbench& bench) {
    const ValueScores scores = value_scores(bench);
    std::size_t n_compared = 0;
    for (std::size_t at = 0; at < scores.rank.size(); ++at) {
      const auto examples = bench.triggers().examples(at / scores.d_memory, at % scores.d_memory, 1);
      if (examples.empty() || !examples.front().next) {
        CHECK(scores.target[at] == -1);
        CHECK(scores.rank[at] == -1);
        CHECK(std::isnan(scores.log_probability[at]));
        continue;
      }
      ++n_compared;
      CHECK(scores.target[at] == *examples.front().next);
      const std::vector<float> log_p = distribution(*bench.model(), at / scores.d_memory, at % scores.d_memory);
      const float own = log_p[static_cast<std::size_t>(scores.target[at])];
      CHECK(scores.log_probability[at] == own);
      CHECK(scores.rank[at] >= std::ranges::count_if(log_p, [&](float x) { return x > own; }));
      CHECK(scores.rank[at] < std::ranges::count_if(
                                  log_p, [&](float x) { return x >= own; }));
    }
    CHECK(n_compared > 0);
  });
}

TEST_CASE("value-agreement: the share of keys whose value's best token is the target, by either reading of it") {
  for (const Target target : {Target::next, Target::last_read}) {
    const ExperimentModel model;
    ExperimentOptions options = model.options();
    options.target = target;
    Workbench bench(options);
    const Result result = value_agreement(bench);
    for (std::size_t layer = 0; layer < bench.n_layers(); ++layer) {
      std::size_t n = 0;
      std::size_t n_agreeing = 0;
      for (std::size_t unit = 0; unit < bench.d_memory(); ++unit) {
        const auto examples = bench.triggers().examples(layer, unit, 1);
        if (examples.empty() || (target == Target::next && !examples.front().next)) continue;
        const std::vector<float> log_p = distribution(*bench.model(), layer, unit);
        const TokenId w = target == Target::next ? *examples.front().next : examples.front().prefix.back();
        ++n;
        n_agreeing += std::ranges::max_element(log_p) - log_p.begin() == w ? 1 : 0;
      }
      const Estimate& found = estimate_of(result, "layer " + std::to_string(layer + 1) + " agreement");
      CHECK(found.n == n);
      CHECK(found.value == doctest::Approx(static_cast<double>(n_agreeing) / static_cast<double>(n)));
      const auto by_frequency = std::span(result.figures.at(0).data.rows[layer]).subspan(7, 3);
      CHECK(std::get<double>(by_frequency[1]) < std::get<double>(by_frequency[0]));
      CHECK(std::get<double>(by_frequency[0]) < std::get<double>(by_frequency[2]));
    }
  }
}

TEST_CASE("trigger-patterns: a layer's share is that of each key's most common ending, and one token is no bigram") {
  for_each_model([](Workbench& bench) {
    const TriggerStore& store = bench.triggers();
    const std::size_t n_examples = std::min(bench.options().annotated_examples, store.top());
    const Result result = trigger_patterns(bench);
    for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
      for (const std::size_t length : {1U, 2U}) {
        std::vector<double> shares;
        for (std::size_t unit = 0; unit < store.d_memory(); ++unit) {
          const auto examples = store.examples(layer, unit, n_examples);
          if (examples.size() < n_examples) continue;
          std::size_t most = 0;
          for (const auto& one : examples) {
            if (one.prefix.size() < length) continue;
            const auto same = std::ranges::count_if(examples, [&](const auto& other) {
              return other.prefix.size() >= length && std::ranges::equal(other.prefix.last(length), one.prefix.last(length));
            });
            most = std::max(most, static_cast<std::size_t>(same));
          }
          shares.push_back(static_cast<double>(most) / static_cast<double>(n_examples));
        }
        CAPTURE(layer);
        const Estimate found = estimate_of(result, concat("layer ", layer + 1, length == 1 ? " same token" : " same bigram"));
        CHECK(found.n == shares.size());
        if (shares.empty()) continue;
        const double mean = std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size());
        CHECK(found.value == doctest::Approx(mean));
      }
    }
  });
}

TEST_CASE("keys and values: what values are compared with is named as it was chosen") {
  const ExperimentModel model;
  for (const Target target : {Target::next, Target::last_read}) {
    ExperimentOptions options = model.options();
    options.target = target;
    Workbench bench(options);
    const std::string named = target == Target::next ? "what follows" : "the last token of";
    for (const char* name : {"value-agreement", "value-ranks", "predictive-values"}) {
      CAPTURE(name);
      const Result result = experiment_from_name(name).run(bench);
      CHECK(contains(result.tables[0].caption, named + " the"));
      for (const Figure& figure : result.figures) CHECK(contains(figure.title, named + " their key's best trigger example"));
      if (target == Target::next) continue;
      CHECK_FALSE(contains(result.title + result.run_found, "follow"));
      for (const Table& table : result.tables) CHECK_FALSE(contains(table.caption, "follow"));
    }
  }
}

TEST_CASE("keys and values: where no value agrees, or no key has a target, that is said in place of numbers") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  options.triggers.max_sentences = 1;  // of one word, behind which there is none
  Workbench bench(options);
  const Result none = value_agreement(bench);
  CHECK(contains(none.run_found, "No key has a trigger example to compare"));
  CHECK(contains(none.run_found, "is a whole sentence, or one cut at the context, with no next token"));

  const ExperimentModel other("fairseq/adaptive");
  ExperimentOptions last_read = other.options();
  last_read.target = Target::last_read;
  last_read.triggers.max_sentences = 4;
  Workbench disagreeing(last_read);
  CHECK(value_agreement(disagreeing).run_found.starts_with("No value's top prediction is its key's target, in any layer."));
}

TEST_CASE("predictive-values: only examples that have a target count among a value's") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const Table best = predictive_values(bench).tables[2];
  std::size_t n_without = 0;
  for (const auto& row : best.rows) {
    const auto at = [&](std::size_t column) { return static_cast<std::size_t>(std::get<std::int64_t>(row[column])); };
    const auto examples = bench.triggers().examples(at(0) - 1, at(1));
    const auto n_with =
        static_cast<std::size_t>(std::ranges::count_if(examples, [](const auto& e) { return e.next.has_value(); }));
    n_without += examples.size() - n_with;
    CHECK(at(4) == n_with);
    if (n_with > 0)
      CHECK(std::get<double>(row[6]) == doctest::Approx(static_cast<double>(at(5)) / static_cast<double>(n_with)));
  }
  CHECK(n_without > 0);
}

TEST_CASE("permuted_agreement: no key is paired with its own value") {
  const std::vector<TokenId> distinct{1, 2, 3, 4, 5};
  CHECK(permuted_agreement(distinct, distinct, {1, "test"}).value == 0.0);
  const std::vector<TokenId> alike{7, 7, 7};
  CHECK(permuted_agreement(alike, alike, {1, "test"}).value == 1.0);
  CHECK(std::isnan(permuted_agreement({}, {}, {1, "test"}).value));
  CHECK(std::isnan(permuted_agreement(std::span(alike).first(1), std::span(alike).first(1), {1, "test"}).value));
  // Two keys can only swap.
  const std::vector<TokenId> predictions{1, 2};
  CHECK(permuted_agreement(predictions, std::vector<TokenId>{2, 1}, {1, "test"}).value == 1.0);
}

TEST_CASE("predictive-values: bins of equal width end at the largest, bins of equal count share the values out") {
  CHECK(equal_width_borders(8.0, 4) == std::vector<double>{0.0, 2.0, 4.0, 6.0, 8.0});
  CHECK(equal_count_begins(4, 2) == std::vector<std::size_t>{0, 2, 4});
  CHECK(equal_count_begins(7, 3) == std::vector<std::size_t>{0, 2, 4, 7});
  CHECK(equal_count_begins(3, 20) == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(equal_count_begins(0, 20) == std::vector<std::size_t>{0});
}

TEST_CASE("predictive-values: the upper layers are the paper's 11 to 16 of 16") {
  CHECK_FALSE(is_upper_layer(9, 16));
  CHECK(is_upper_layer(10, 16));
  CHECK_FALSE(is_upper_layer(6, 12));
  CHECK(is_upper_layer(7, 12));
  CHECK(is_upper_layer(0, 1));
}

TEST_CASE("predictive-values: every value with a target is in one bin, and the surest values come first") {
  for_each_model([](Workbench& bench) {
    const Result result = predictive_values(bench);
    std::size_t n_targets = 0;
    for (std::size_t layer = 0; layer < bench.n_layers(); ++layer) {
      n_targets += key_targets(bench.triggers(), layer, Target::next).n();
    }
    for (const std::size_t t : {std::size_t{0}, std::size_t{1}}) {
      std::int64_t n = 0;
      for (const auto& row : result.tables[t].rows) n += std::get<std::int64_t>(row[2]);
      CHECK(n == static_cast<std::int64_t>(n_targets));
    }
    for (std::size_t f = 0; f < 2; ++f) {
      Samples samples;
      for (const auto& row : result.tables[f].rows) samples.add(static_cast<std::size_t>(std::get<std::int64_t>(row[2])));
      CHECK(result.figures[f].samples.least == samples.least);
      CHECK(result.figures[f].samples.most == samples.most);
    }
    const Table& best = result.tables[2];
    CHECK(best.rows.size() == std::min<std::size_t>(100, bench.n_layers() * bench.d_memory()));
    const auto max_p = [](const auto& row) { return std::get<double>(row[3]); };
    CHECK(std::ranges::is_sorted(best.rows, std::greater<>(), max_p));
    float highest = 0.0F;
    for (std::size_t i = 0; i < bench.n_layers() * bench.d_memory(); ++i) {
      const auto log_p = distribution(*bench.model(), i / bench.d_memory(), i % bench.d_memory());
      highest = std::max(highest, std::exp(*std::ranges::max_element(log_p)));
    }
    CHECK(max_p(best.rows.front()) == doctest::Approx(static_cast<double>(highest)).epsilon(1e-5));
  });
}

TEST_CASE("keys and values: the same options give the same result with one thread and with two, new and from stored parts") {
  const ExperimentModel model;
  for (const char* name : {"token-removal", "value-agreement", "value-ranks", "predictive-values"}) {
    const auto run = [&](const std::string& out, int threads) {
      ExperimentOptions options = model.options(out);
      options.model.threads = threads;
      Workbench bench(options);
      return to_json_text(experiment_from_name(name).run(bench));
    };
    const std::string first = run("one", 1);
    CHECK(first == run("two", 2));
    CHECK(first == run("one", 1));
    CHECK(read_text_file(model.texts().path() / "one/data/triggers.safetensors") ==
          read_text_file(model.texts().path() / "two/data/triggers.safetensors"));
  }
}

TEST_CASE("keys and values: keys that never fire leave nothing to compare, and no number is made up for them") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  options.triggers.smallest = true;  // of ReLU coefficients none is negative
  Workbench bench(options);
  CHECK(std::isnan(estimate_of(token_removal(bench), "layer 1 last %").value));
  CHECK(std::isnan(estimate_of(value_agreement(bench), "layer 1 agreement").value));
  CHECK(std::isnan(estimate_of(experiment_from_name("value-ranks").run(bench), "layer 1 median rank").value));
  const Result predictive = predictive_values(bench);
  CHECK(contains(predictive.run_found, "No key has a trigger example"));
  CHECK(same(estimate_of(predictive, "best values with an agreeing example").value, 0.0));
  for (const char* name : {"trigger-patterns", "token-removal", "value-agreement", "value-ranks", "predictive-values"}) {
    CAPTURE(name);
    const Result result = write_result(options.out, experiment_from_name(name).run(bench));  // figures without one point
    CHECK_FALSE(contains(result.run_found, "fired"));
    CHECK_FALSE(contains(
        read_text_file(options.out / name / (name == std::string("predictive-values") ? "bins.csv" : "layers.csv")), "fired"));
  }
}
