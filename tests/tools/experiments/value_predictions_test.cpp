// top(m v) for coefficients of every size, against scoring m v.
#include "tools/experiments/value_predictions.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/tools/experiments/experiment_models.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// Counts with count_weighted and decide.
std::size_t found(const ValuePredictions& values, std::size_t layer, std::span<const float> m, TokenId token,
                  std::size_t* n_open) {
  std::vector<ValuePredictions::Open> open;
  const std::size_t sure = values.count_weighted(layer, m, token, 0, open);
  const std::vector<bool> agrees = values.decide(open);
  if (n_open != nullptr) *n_open += open.size();
  return sure + static_cast<std::size_t>(std::ranges::count(agrees, true));
}

}  // namespace

TEST_CASE("value_predictions: what m v predicts is exact at every scale and sign, for every kind of softmax") {
  for (const std::string golden : {"hf/gpt2-relu", "hf/gpt2", "hf/llama", "hf/gemma2", "fairseq/adaptive"}) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    Workbench bench(model.options());
    const ValuePredictions values(bench);
    REQUIRE(ValuePredictions::scores_weighted(*bench.model(), Lens::raw));
    for (const float size : {0.01F, 0.3F, 1.0F, 4.0F, 30.0F}) {
      for (const float sign : {1.0F, -1.0F}) {
        if (size > 1.0F && bench.model()->config().final_softcap > 0.0F) continue;  // saturates: float32 sees ties
        if (sign < 0 && !has_negative_coefficients(bench.model()->config())) continue;
        std::vector<float> m(bench.d_memory());
        for (std::size_t i = 0; i < m.size(); ++i) m[i] = i % 5 == 4 ? 0.0F : sign * size * (1.0F + static_cast<float>(i % 7));
        std::vector<std::size_t> expected(bench.model()->config().vocab_size);
        std::vector<float> value(bench.model()->config().d_model);
        for (std::size_t i = 0; i < m.size(); ++i) {
          bench.model()->value_row(1, i, value.data());
          for (float& x : value) x *= m[i];
          if (m[i] != 0.0F) ++expected[static_cast<std::size_t>(best(scores(*bench.model(), value, Lens::raw)))];
        }
        for (std::size_t token = 0; token < expected.size(); ++token) {
          CHECK(found(values, 1, m, static_cast<TokenId>(token), nullptr) == expected[token]);
        }
      }
    }
  }
}

TEST_CASE("value_predictions: an adaptive softmax leaves few memories to be scored directly") {
  const ExperimentModel model("fairseq/adaptive");
  Workbench bench(model.options());
  const ValuePredictions values(bench);
  std::size_t n_open = 0;
  for (const float size : {0.1F, 0.5F, 1.0F, 2.0F}) {
    const std::vector<float> m(bench.d_memory(), size);
    for (TokenId token = 0; token < 60; ++token) found(values, 0, m, token, &n_open);
  }
  CHECK(n_open < 4 * bench.d_memory() / 2);
}

TEST_CASE("value_predictions: a memory that is not active predicts nothing") {
  const ExperimentModel model("hf/gpt2-relu");
  Workbench bench(model.options());
  const ValuePredictions values(bench);
  const std::vector<float> m(bench.d_memory(), 0.0F);
  for (TokenId token = 0; token < 64; ++token) CHECK(found(values, 0, m, token, nullptr) == 0);
}

TEST_CASE("has_negative_coefficients: a gate makes any coefficient negative, and so do most activations") {
  ModelConfig config;
  config.activation = Activation::relu;
  CHECK(!has_negative_coefficients(config));
  config.activation = Activation::gelu;
  CHECK(has_negative_coefficients(config));
  config.activation = Activation::relu;
  config.gated = true;
  CHECK(has_negative_coefficients(config));
}
