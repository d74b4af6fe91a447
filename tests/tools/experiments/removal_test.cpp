// What removing a memory does: the closed form, the other ways, and a run with the memory set to 0 all say the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "hooks/intervene.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/effect_table.hpp"

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
