// What a model tells of itself.
#include "runtime/model.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "tests/loaders/thrown.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {

TEST_CASE("model: a value is the checkpoint's row in every mode, and what is not there is refused") {
  const std::size_t width = tiny_model()->config().d_model;
  const std::size_t n_layers = tiny_model()->config().n_layers;
  const std::size_t n_units = tiny_model()->config().d_memory;
  for (const WeightMode mode : {WeightMode::bf16, WeightMode::int8, WeightMode::int4}) {
    CAPTURE(name(mode));
    const auto model = Model::load(FFMEM_TEST_DATA "/hf/gpt2-relu", {.weights = mode});
    const auto row_of = [&](const Model& of, std::size_t layer, std::size_t unit) {
      std::vector<float> row(width);
      of.value_row(layer, unit, row.data());
      return row;
    };
    for (std::size_t layer = 0; layer < n_layers; ++layer) {
      for (const std::size_t unit : {std::size_t{0}, n_units - 1}) {
        CHECK(row_of(*model, layer, unit) == row_of(*tiny_model(), layer, unit));
      }
    }
    CHECK(row_of(*model, 0, 0) != row_of(*model, 1, 0));
    CHECK(row_of(*model, 0, 0) != row_of(*model, 0, 1));

    const Error layer = thrown([&] { row_of(*model, n_layers, 0); });
    CHECK(layer.code() == ErrorCode::layer_out_of_range);
    CHECK_MESSAGE(contains(layer.what(), "layer 3: the model has layers 0 to 2"), layer.what());
    const Error unit = thrown([&] { row_of(*model, 0, n_units); });
    CHECK(unit.code() == ErrorCode::unit_out_of_range);
    CHECK_MESSAGE(contains(unit.what(), "a layer has memories 0 to "), unit.what());
  }
}

}  // namespace ffmem
