#include "tools/number_check.hpp"

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "runtime/model.hpp"
#include "runtime/session.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/coefficient_histogram.hpp"
#include "tools/experiments/effect_table.hpp"
#include "tools/experiments/layer_pass.hpp"
#include "tools/experiments/nearest_values.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

// Of the tiny model.
constexpr std::size_t kLayers = 3;
constexpr std::size_t kUnits = 44;
constexpr std::size_t kWidth = 24;

/// Replaces a tensor of the tiny model by numbers of which one is broken.
void break_tensor(const ModelFolder& folder, const std::string& name, std::size_t n, float with) {
  std::vector<float> values(n, 0.1F);
  values[n / 2] = with;
  folder.edit_tensors([&](auto& tensors) {
    TensorToWrite& tensor = tensors.at(name);
    tensor.dtype = DType::f32;
    tensor.data = values.data();
  });
}

void run_checked(const ModelFolder& folder) {
  const auto model = Model::load(folder.path());
  Session session(model, {.context = 8, .keep_cache = false});
  NumberCheck check(kLayers);
  const std::array<Hook*, 1> hooks{&check};
  session.run(std::vector<TokenId>{5, 6, 7}, LogitsRows::none, hooks);
}

void is_refused(const std::string& message, const std::function<void()>& call) {
  CAPTURE(message);
  const Error error = thrown(call);
  CHECK(error.code() == ErrorCode::argument_invalid);
  CHECK_MESSAGE(contains(error.what(), message), error.what());
  CHECK(contains(error.what(), " are not numbers"));
}

}  // namespace

TEST_CASE("NumberCheck: one NaN among the keys of any layer ends a run, and whole weights do not") {
  const ModelFolder folder;
  CHECK_NOTHROW(run_checked(folder));
  for (const char* layer : {"0", "1", "2"}) {
    CAPTURE(layer);
    break_tensor(folder, std::string("transformer.h.") + layer + ".mlp.c_fc.bias", kUnits,
                 std::numeric_limits<float>::quiet_NaN());
    is_refused("the coefficients of layer 2", [&] { run_checked(folder); });
  }
}

TEST_CASE("experiments: a model whose activations are not numbers has no results") {
  const ExperimentModel model;
  for (const float with : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    break_tensor(model.folder(), "transformer.h.0.mlp.c_fc.weight", kUnits * kWidth, with);
    Workbench bench(model.options());
    is_refused("the coefficients of layer 2", [&] { bench.triggers(); });
    is_refused("the coefficients of layer 2", [&] { coefficient_histogram(bench); });
    is_refused("the probabilities behind layer 0", [&] { layer_pass(bench); });
    is_refused("the probabilities on a sampled prefix", [&] { effect_table(bench); });
  }
}

TEST_CASE("experiments: a value that is not numbers is named") {
  const ExperimentModel model;
  break_tensor(model.folder(), "transformer.h.1.mlp.c_proj.weight", kUnits * kWidth, std::numeric_limits<float>::quiet_NaN());
  Workbench bench(model.options());
  is_refused("the probabilities that value 22 of layer 1 gives", [&] { bench.values(ValueSign::plus); });
  is_refused("the cosines of value 0 of layer 0", [&] { nearest_values(bench, kLayers * kUnits); });
  is_refused("the cosines of value 22 of layer 1", [&] { nearest_values(bench, 1); });
}
