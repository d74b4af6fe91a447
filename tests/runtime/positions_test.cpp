#include "runtime/positions.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace ffmem {
namespace {

ModelConfig rotary_config() {
  ModelConfig config;
  config.positions = PositionKind::rotary;
  config.rotary_inv_freq = {1.0F, 0.01F};
  return config;
}

ModelConfig sinusoidal_config() {
  ModelConfig config;
  config.positions = PositionKind::sinusoidal;
  config.d_model = 5;
  config.position_offset = 2;
  return config;
}

TEST_CASE("positions: angles are there as far as positions were reached, in one step or several, and no further") {
  const ModelConfig config = rotary_config();
  PositionTables tables(config, 100);
  tables.reach(3);
  tables.reach(2);
  tables.reach(7);
  const RotaryTable& table = tables.rotary();
  CHECK(table.n_positions == 100);
  CHECK(table.rotary_dim == 4);
  for (std::size_t p = 0; p < 7; ++p) {
    CAPTURE(p);
    CHECK(table.cos[p * 2] == std::cos(static_cast<float>(p)));
    CHECK(table.sin[p * 2 + 1] == std::sin(static_cast<float>(p) * 0.01F));
  }
  CHECK(table.cos[7 * 2] == 0.0F);
}

TEST_CASE("positions: sinusoidal vectors are added to the rows of positions that were reached") {
  const ModelConfig config = sinusoidal_config();
  PositionTables tables(config, 10);
  tables.reach(4);
  const std::vector<std::uint32_t> positions{3, 0};
  std::vector<float> rows(10, 1.0F);
  tables.add_sinusoidal(positions, {rows.data(), 2, 5});
  const std::vector<float> expected{1.0F + std::sin(5.0F), 1.0F + std::sin(5.0F * std::exp(std::log(1e4F) * -1.0F)),
                                    1.0F + std::cos(5.0F), 1.0F + std::cos(5.0F * std::exp(std::log(1e4F) * -1.0F)), 1.0F};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(rows[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  CHECK(rows[5] == doctest::Approx(1.0F + std::sin(2.0F)).epsilon(1e-6));
}

}  // namespace
}  // namespace ffmem
