// The products by a tile unit, with a model of one in plain C++, so that they are tested on any machine.
#include "ops/cpu/kernels/tile_matmul.hpp"

#include <bit>
#include <span>

#include "ops/cpu/cpu_matmul.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/lanes.hpp"
#include "ops/cpu/packed_matrix.hpp"
#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

/// What ops/cpu/kernels/tile_matmul.hpp asks of a unit, as Intel's manual describes AMX's instructions.
struct ModelUnit {
  struct Tile {
    std::size_t rows;
    std::uint32_t data[16][16];
  };
  static inline thread_local Tile tiles[8];
  static inline thread_local bool configured = false;

  static void configure(std::size_t rows0, std::size_t rows1) {
    REQUIRE(std::min(rows0, rows1) >= 1);
    REQUIRE(std::max(rows0, rows1) <= 16);
    for (const std::size_t i : {0, 1, 4}) tiles[i] = {rows0, {}};
    for (const std::size_t i : {2, 3, 5}) tiles[i] = {rows1, {}};
    for (const std::size_t i : {6, 7}) tiles[i] = {16, {}};
    configured = true;
  }
  static void release() { configured = false; }

  template <int Number>
  static void zero() {
    REQUIRE(configured);
    std::ranges::fill(std::span(&tiles[Number].data[0][0], 256), 0U);
  }
  template <int Number>
  static void load(const void* p, std::size_t stride) {
    zero<Number>();
    Tile& tile = tiles[Number];
    for (std::size_t r = 0; r < tile.rows; ++r) {
      std::memcpy(tile.data[r], static_cast<const std::byte*>(p) + r * stride, 64);
    }
  }
  template <int Number>
  static void store(void* p, std::size_t stride) {
    const Tile& tile = tiles[Number];
    for (std::size_t r = 0; r < tile.rows; ++r) {
      std::memcpy(static_cast<std::byte*>(p) + r * stride, tile.data[r], 64);
    }
  }
  template <int Sums, int X, int Weights>
  static void dot_bf16() {
    const auto number = [](std::uint32_t pair, int i) {
      return std::bit_cast<float>(i == 0 ? pair << 16 : pair & 0xffff0000U);
    };
    for (std::size_t r = 0; r < tiles[Sums].rows; ++r) {
      for (std::size_t o = 0; o < 16; ++o) {
        float sums[2] = {0.0F, 0.0F};
        for (std::size_t k = 0; k < 16; ++k) {
          for (const int i : {0, 1}) sums[i] += number(tiles[X].data[r][k], i) * number(tiles[Weights].data[k][o], i);
        }
        std::uint32_t& sum = tiles[Sums].data[r][o];
        sum = std::bit_cast<std::uint32_t>(std::bit_cast<float>(sum) + (sums[0] + sums[1]));
      }
    }
  }
  template <int Sums, int X, int Weights>
  static void dot_int8() {
    const auto number = [](std::uint32_t four, std::size_t i) {
      return static_cast<std::int32_t>(static_cast<std::int8_t>(four >> (8 * i)));
    };
    for (std::size_t r = 0; r < tiles[Sums].rows; ++r) {
      for (std::size_t o = 0; o < 16; ++o) {
        std::int32_t sum = 0;
        for (std::size_t k = 0; k < 16; ++k) {
          for (std::size_t i = 0; i < 4; ++i) sum += number(tiles[X].data[r][k], i) * number(tiles[Weights].data[k][o], i);
        }
        tiles[Sums].data[r][o] += static_cast<std::uint32_t>(sum);
      }
    }
  }
};

const KernelTable& model_kernels() {
  static const KernelTable table = [] {
    const TileKernels tiles = kernels::TileMatmul<kernels::PlainLanes<xsimd::default_arch>, ModelUnit>::kernels();
    KernelTable made = choose_kernels({});
    made.matmul.bf16 = tiles.bf16;
    made.matmul.int8 = made.matmul.int8_of_many = tiles.int8_of_many;
    return made;
  }();
  return table;
}

Matrix tile_product(ConstMatrixView x, const WeightMatrix& w, WeightFormat format, const float* bias) {
  const PackedMatrix packed(w, format);
  Matrix y(x.rows, w.rows, 3);
  std::ranges::fill(y.data, 7.0F);
  const Product product{packed, bias, y.view()};
  cpu_matmul(model_kernels(), x, {&product, 1});
  for (std::size_t t = 0; t < y.rows; ++t) CHECK(y.row(t)[w.rows] == 7.0F);  // nothing behind the row is written
  return y;
}

constexpr WeightFormat kFormats[] = {WeightFormat::bf16, WeightFormat::int8};

TEST_CASE("tile products match the scalar version at the edges of tiles, groups, runs of groups and row blocks") {
  for (const WeightFormat format : kFormats) {
    for (const std::size_t in : {1, 2, 31, 32, 33, 63, 64, 65, 127, 200, 1025}) {
      for (const std::size_t out : {1, 15, 16, 17, 32, 33, 49}) {
        const std::vector<float> values = normal_values(out * in, 1);
        const std::vector<float> bias = normal_values(out, 2);
        const WeightMatrix w{values.data(), DType::f32, out, in, in, 1};
        const auto reference = scalar().prepare(w, format);
        for (const std::size_t rows : {1, 2, 15, 16, 17, 31, 32, 33, 50}) {
          CAPTURE(static_cast<int>(format));
          CAPTURE(in);
          CAPTURE(out);
          CAPTURE(rows);
          const Matrix x = normal_matrix(rows, in, 3, 5);
          for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
            const Matrix expected = product(scalar(), x.view(), *reference, b);
            check_close(tile_product(x.view(), w, format, b).view(), expected.view(), 0,
                        4e-6 * std::sqrt(static_cast<double>(in)));
          }
        }
      }
    }
  }
}

TEST_CASE("tile products give a row the same bits for any number of rows and threads") {
  for (const WeightFormat format : kFormats) {
    for (const std::size_t in : {20, 1100}) {
      const std::vector<float> values = normal_values(in * 40, 2);
      const WeightMatrix w{values.data(), DType::f32, 40, in, in, 1};
      const Matrix x = normal_matrix(420, in, 1);
      const Matrix all = tile_product(x.view(), w, format, nullptr);
      for (const int threads : {1, 2}) {
        const ThreadScope scope(threads);
        for (const std::size_t rows : {1, 15, 17, 33, 193}) {
          const Matrix some = tile_product(x.view().rows_between(420 - rows, 420), w, format, nullptr);
          bool same = true;
          for (std::size_t t = 0; t < rows; ++t) same = same && same_bits(some.row(t), all.row(420 - rows + t), 40);
          CHECK(same);
        }
      }
    }
  }
}

TEST_CASE("tile products of more rows than have their sums kept at once are those of each tile of rows") {
  constexpr std::size_t kRows = 300;
  constexpr std::size_t kIn = 300;
  constexpr std::size_t kUnits = 160;  // of a row
  constexpr std::size_t kOut = 40;
  const std::vector<float> values = normal_values(kIn * kOut, 2);
  const PackedMatrix w(WeightMatrix{values.data(), DType::f32, kOut, kIn, kIn, 1}, WeightFormat::bf16);
  // Any pairs of bf16 serve, wherever the kernel takes them to belong.
  AlignedBuffer x(kRows * kUnits);
  const std::vector<float> numbers = normal_values(x.size(), 3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x.data()[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(numbers[i]) & 0xffff0000U);
  }
  const MatmulKernel kernel = model_kernels().matmul.bf16;
  MatmulBlock block{};
  block.x_units = kUnits;
  block.w = w.outputs(0, 1, kPanelsTogether).lines;
  block.n_in = kIn;
  block.n_out = kOut;
  const auto run = [&](std::size_t begin, std::size_t end, Matrix& y) {
    block.x = reinterpret_cast<const std::uint32_t*>(x.data()) + begin * kUnits;
    block.y = y.view().row_data(begin);
    block.y_stride = y.view().stride;
    block.n_rows = end - begin;
    kernel.run(block);
  };
  Matrix together(kRows, kOut);
  Matrix apart(kRows, kOut);
  run(0, kRows, together);
  const RowTiles tiles{kRows, kernel.tile_rows};
  for (std::size_t tile = 0; tile < tiles.count(); ++tile) run(tiles.begin(tile), tiles.begin(tile + 1), apart);
  for (std::size_t t = 0; t < kRows; ++t) CHECK(same_bits(together.row(t), apart.row(t), kOut));
}

}  // namespace
}  // namespace ffmem
