#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

struct Table {
  std::vector<float> cos;
  std::vector<float> sin;
  RotaryTable table;

  Table(std::size_t n_positions, std::size_t rotary_dim, RotaryLayout layout) {
    const std::size_t half = rotary_dim / 2;
    for (std::size_t p = 0; p < n_positions; ++p) {
      for (std::size_t k = 0; k < half; ++k) {
        const double angle = static_cast<double>(p) * std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(half));
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    table = {cos.data(), sin.data(), n_positions, rotary_dim, layout};
  }
};

TEST_CASE("rotary: matches the scalar version in both layouts, for whole and partial heads") {
  const std::vector<std::uint32_t> positions = {0, 7, 1, 30, 2};
  for_each_isa([&](const Backend& backend) {
    for (const RotaryLayout layout : {RotaryLayout::halves, RotaryLayout::pairs}) {
      for (const std::size_t head_dim : {4, 6, 12, 20, 32, 64, 80}) {
        for (const std::size_t rotary_dim : {head_dim, head_dim / 4 * 2}) {
          CAPTURE(head_dim);
          CAPTURE(rotary_dim);
          const Table table(31, rotary_dim, layout);
          Matrix found = normal_matrix(positions.size(), 3 * head_dim, 1, 5);
          Matrix expected = found;
          backend.rotary(found.view(), head_dim, positions, table.table);
          scalar().rotary(expected.view(), head_dim, positions, table.table);
          check_close(found.view(), expected.view(), 1e-6, 3e-7);
        }
      }
    }
  });
}

TEST_CASE("rotary: position 0 changes nothing, and a row's bits do not depend on its neighbours") {
  for_each_isa([](const Backend& backend) {
    for (const RotaryLayout layout : {RotaryLayout::halves, RotaryLayout::pairs}) {
      const Table table(9, 20, layout);
      const std::vector<std::uint32_t> positions = {0, 8, 3};
      const Matrix x = normal_matrix(3, 40, 1);
      Matrix all = x;
      backend.rotary(all.view(), 20, positions, table.table);
      CHECK(same_bits(all.row(0), x.row(0), 40));
      for (std::size_t t = 0; t < 3; ++t) {
        Matrix one(1, 40);
        std::copy_n(x.row(t), 40, one.row(0));
        backend.rotary(one.view(), 20, std::span(positions).subspan(t, 1), table.table);
        CHECK(same_bits(one.row(0), all.row(t), 40));
      }
    }
  });
}

}  // namespace
}  // namespace ffmem
