// What removing a memory does: the closed form, the other ways, and a run with the memory set to 0 all say the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hooks/intervene.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/effect_table.hpp"
#include "tools/experiments/softmax_change.hpp"
#include "tools/experiments/token_ranks.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

struct Effect {
  double log_p_change = 0.0;
  double divergence = 0.0;
  TokenId top_after = 0;
  float gap = 0.0F;
};

/// By a run with the coefficient set to 0.
Effect by_intervention(const Workbench& bench, std::span<const TokenId> prefix, std::size_t layer, const Removal& removal) {
  const Model& model = *bench.model();
  const std::size_t last_layer = model.config().n_layers - 1;
  const auto position = static_cast<std::uint32_t>(prefix.size() - (bench.prefix_token() ? 0 : 1));
  Intervene zero({{.kind = Edit::Kind::zero, .layer = layer, .unit = removal.unit, .position = position}});
  const std::vector<Hook*> hooks{&zero};
  const auto before = scores(model, SingleRun(bench, prefix).at(Point::residual_post, last_layer), Lens::final_norm);
  const auto after = scores(model, SingleRun(bench, prefix, hooks).at(Point::residual_post, last_layer), Lens::final_norm);
  const auto target = static_cast<std::size_t>(best(before));
  Effect effect{.log_p_change = static_cast<double>(after[target]) - static_cast<double>(before[target]),
                .divergence = 0.0,
                .top_after = best(after),
                .gap = gap(after)};
  for (std::size_t w = 0; w < before.size(); ++w) {
    const auto log_p = static_cast<double>(before[w]);
    effect.divergence += std::exp(log_p) * (log_p - static_cast<double>(after[w]));
  }
  return effect;
}

void check_against_runs(const Workbench& bench, const EffectTable& table, std::size_t step) {
  for (std::size_t i = 0; i < table.removals.size(); i += step) {
    const Removal& removal = table.removals[i];
    CAPTURE(removal.example);
    CAPTURE(removal.unit);
    const Effect expected = by_intervention(bench, table.examples.prefix(removal.example), table.layer, removal);
    CHECK(std::abs(static_cast<double>(removal.log_p_change) - expected.log_p_change) <
          1e-5 + 1e-4 * std::abs(expected.log_p_change));
    CHECK(std::abs(static_cast<double>(removal.divergence) - expected.divergence) < 2e-6 + 1e-4 * expected.divergence);
    if (expected.gap > 1e-5F) CHECK(removal.top_after == expected.top_after);
  }
}

}  // namespace

TEST_CASE("effect_table: a removal changes what a run without the memory changes, for every kind of model and layer") {
  for (const std::string& golden : kExperimentGoldens) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    auto options = model.options();
    options.effect_examples = 5;
    for (const bool last : {true, false}) {
      if (!last) options.effect_layer = 0;
      Workbench bench(options);
      const EffectTable table = effect_table(bench);
      CHECK(table.layer == (last ? bench.n_layers() - 1 : 0));
      REQUIRE(!table.removals.empty());
      check_against_runs(bench, table, 13);
    }
  }
}

TEST_CASE("effect_table: each model is treated in the way that fits it") {
  const auto method = [](const std::string& golden, std::size_t layer) {
    const ExperimentModel model(golden, 1);
    return removal_method(*Model::load(model.folder().path()), layer);
  };
  CHECK(method("hf/gpt2-relu", 2) == RemovalMethod::algebra);
  CHECK(method("hf/gpt2-relu", 1) == RemovalMethod::whole_passes);
  CHECK(method("hf/llama", 1) == RemovalMethod::algebra);
  CHECK(method("hf/gemma2", 1) == RemovalMethod::output_vectors);
  CHECK(method("hf/opt-postln", 1) == RemovalMethod::output_vectors);
}

TEST_CASE("compute_removals: the closed form and the output vectors agree where both can be used") {
  for (const std::string golden : {"hf/gpt2-relu", "hf/llama", "hf/gptj", "hf/opt-preln", "fairseq/adaptive"}) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    const Workbench bench(model.options());
    const ExampleSet examples = sample_examples(bench, 6, "test");
    const RemovalInputs inputs = removal_inputs(bench, examples, bench.n_layers() - 1);
    auto algebra = removals_of(inputs, examples.size(), bench.d_memory());
    auto vectors = algebra;
    compute_removals(bench, examples, inputs, RemovalMethod::algebra, algebra);
    compute_removals(bench, examples, inputs, RemovalMethod::output_vectors, vectors);
    for (std::size_t i = 0; i < algebra.size(); ++i) {
      const auto divergence = static_cast<double>(vectors[i].divergence);
      CHECK(std::abs(static_cast<double>(algebra[i].divergence) - divergence) < 2e-6 + 1e-4 * divergence);
      CHECK(algebra[i].log_p_change == doctest::Approx(vectors[i].log_p_change).epsilon(1e-4));
      CHECK(algebra[i].top_after == vectors[i].top_after);
    }
  }
}

TEST_CASE("effect_table: a layer that the model has not is an error") {
  const ExperimentModel model("hf/gpt2-relu");
  auto options = model.options();
  options.effect_layer = 3;
  Workbench bench(options);
  CHECK(thrown([&] { effect_table(bench); }).code() == ErrorCode::layer_out_of_range);
}

TEST_CASE("effect_table: own predictions and ranks are those of the signed value") {
  const ExperimentModel model("hf/llama");
  auto options = model.options();
  options.effect_examples = 3;
  Workbench bench(options);
  const EffectTable table = effect_table(bench);
  for (std::size_t i = 0; i < table.removals.size(); ++i) {
    const Removal& removal = table.removals[i];
    std::vector<float> value(bench.model()->config().d_model);
    bench.model()->value_row(table.layer, removal.unit, value.data());
    if (removal.coefficient < 0.0F) std::ranges::transform(value, value.begin(), std::negate<>());
    const auto own = scores(*bench.model(), value, options.value_lens);
    const auto rank = [&](TokenId token) {
      return std::ranges::count_if(own, [&](float x) { return x > own[static_cast<std::size_t>(token)]; });
    };
    CHECK(table.own_top[i] == best(own));
    CHECK(table.rank_prediction[i] == rank(table.prediction[removal.example]));
    CHECK(table.rank_layer[i] == rank(table.layer_prediction[removal.example]));
  }
}

TEST_CASE("add_block: sums over any number of words are those of the formula") {
  for (const std::size_t n : {0, 1, 15, 16, 17, 31, 32, 33, 500}) {
    std::vector<float> p(n), logits(n), o(n), u(n);
    double linear = 0.0, remainder = 0.0, top = -std::numeric_limits<double>::infinity();
    for (std::size_t w = 0; w < n; ++w) {
      p[w] = 1.0F / static_cast<float>(n);
      logits[w] = std::sin(static_cast<float>(w));
      o[w] = std::cos(3.0F * static_cast<float>(w));
      u[w] = static_cast<float>(w % 7) - 3.0F;
      const double delta = 0.25 * static_cast<double>(o[w]) - 1.5 * static_cast<double>(u[w]);
      linear += static_cast<double>(p[w]) * delta;
      remainder += static_cast<double>(p[w]) * (std::expm1(delta) - delta);
      top = std::max(top, static_cast<double>(logits[w]) + delta);
    }
    SoftmaxChange change{.best = -std::numeric_limits<float>::infinity()};
    add_block(p.data(), logits.data(), o.data(), u.data(), 0.25F, -1.5F, n, change);
    CHECK(change.linear == doctest::Approx(linear).epsilon(1e-5));
    CHECK(change.remainder == doctest::Approx(remainder).epsilon(1e-5));
    if (n > 0) CHECK(static_cast<double>(change.best) == doctest::Approx(top).epsilon(1e-6));
  }
}

TEST_CASE("add_block: the remainder keeps its digits however small or large a change is") {
  for (const double delta : {1e-6, -1e-4, 0.01, 0.33, 0.35, -0.34, 1.0, -3.0, 20.0, -59.0, 59.0}) {
    const float one = 1.0F, zero = 0.0F, u = static_cast<float>(delta);
    SoftmaxChange change{.best = -1e30F};
    add_block(&one, &zero, &zero, &u, 0.0F, 1.0F, 1, change);
    // e^x - 1 - x by its series where the plain formula has no digits.
    const double x = static_cast<double>(u);
    double expected = std::expm1(x) - x;
    if (std::abs(x) < 0.5) {
      expected = 0.0;
      double term = x;
      for (int k = 2; k < 20; ++k) expected += term *= x / k;
    }
    CHECK(change.remainder == doctest::Approx(expected).epsilon(1e-5));
    CHECK(change.largest == doctest::Approx(std::abs(x)));
  }
}
