#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/key_targets.hpp"
#include "tools/experiments/predictive_values.hpp"
#include "tools/experiments/token_removal.hpp"
#include "tools/experiments/trigger_patterns.hpp"
#include "tools/experiments/value_agreement.hpp"
#include "tools/experiments/value_scores.hpp"

using namespace ffmem;
using namespace ffmem::tools;

TEST_CASE("value-scores: ranks and log-probabilities are those in each value's whole distribution") {
  for_each_key_value_model([](Workbench& bench) {
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
      const std::vector<float> log_p = value_distribution(*bench.model(), at / scores.d_memory, at % scores.d_memory);
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
        const std::vector<float> log_p = value_distribution(*bench.model(), layer, unit);
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
  for_each_key_value_model([](Workbench& bench) {
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
  const ExperimentModel model("hf/llama");
  const std::vector<float> zeros(64 * 64);
  model.folder().edit_tensors([&](std::map<std::string, TensorToWrite>& tensors) {
    for (auto& [name, tensor] : tensors) {
      if (!contains(name, "up_proj")) continue;
      REQUIRE(std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::size_t{1}, std::multiplies()) <= zeros.size());
      tensor.data = zeros.data();  // every coefficient is 0
    }
  });
  ExperimentOptions options = model.options();
  options.triggers.smallest = true;
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
