#include "tools/experiments/nearest_values.hpp"

#include <algorithm>
#include <cmath>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/aligned_buffer.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/l2_norm.hpp"
#include "tools/number_check.hpp"
#include "tools/progress.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kBlock = 4096;  // values compared with at a time
constexpr std::size_t kRows = 256;    // values that are

/// All values as rows of length 1 (a zero vector stays one).
AlignedBuffer unit_values(const Model& model) {
  const std::size_t d = model.config().d_model;
  const std::size_t d_memory = model.config().d_memory;
  AlignedBuffer buffer(model.config().n_layers * d_memory * d);
  const MatrixView rows = buffer.matrix(model.config().n_layers * d_memory, d);
  for (std::size_t i = 0; i < rows.rows; ++i) {
    model.value_row(i / d_memory, i % d_memory, rows.row_data(i));
    const double length = l2_norm(rows.row(i));
    const double scale = length > 0.0 ? 1.0 / length : 0.0;
    for (float& x : rows.row(i)) x = static_cast<float>(static_cast<double>(x) * scale);
  }
  return buffer;
}

NearestValues compute(const Workbench& bench, std::size_t k) {
  const Backend& backend = bench.model()->backend();
  const std::size_t n = bench.n_layers() * bench.d_memory();
  const AlignedBuffer values = unit_values(*bench.model());
  const std::size_t d = bench.model()->config().d_model;
  const AlignedBuffer cosine_buffer(kRows * std::min(kBlock, n));
  // The best of each value so far, itself perhaps among them.
  const std::size_t n_best = k + 1;
  std::vector<std::uint32_t> memories(n * n_best);
  std::vector<float> cosines(n * n_best);
  Progress progress("nearest values", static_cast<double>(n), "values", bench.options().quiet);
  for (std::size_t first = 0; first < n; first += kBlock) {
    const std::size_t n_block = std::min(kBlock, n - first);
    const auto block = backend.prepare(
        {.data = values.data() + first * d, .dtype = DType::f32, .rows = n_block, .cols = d, .row_stride = d, .col_stride = 1});
    for (std::size_t row = 0; row < n; row += kRows) {
      throw_if_interrupted();
      const std::size_t n_rows = std::min(kRows, n - row);
      const MatrixView products = cosine_buffer.matrix(n_rows, n_block);
      backend.matmul(values.matrix(n, d).rows_between(row, row + n_rows), *block, nullptr, products);
      backend.top_k(products, n_best, memories.data() + row * n_best, cosines.data() + row * n_best, first);
    }
    progress.update(static_cast<double>(first + n_block));
  }
  NearestValues nearest{.k = k, .memory = {}, .cosine = {}};
  for (std::size_t row = 0; row < n; ++row) {
    std::size_t n_kept = 0;
    for (std::size_t i = row * n_best; n_kept < k; ++i) {
      if (memories[i] == row) continue;
      nearest.memory.push_back(static_cast<std::int32_t>(memories[i]));
      nearest.cosine.push_back(cosines[i]);
      ++n_kept;
    }
  }
  const auto cosines_of = [&](std::size_t i) {
    return concat("the cosines of value ", i / k % bench.d_memory(), " of layer ", i / k / bench.d_memory());
  };
  check_numbers(nearest.cosine, cosines_of);
  return nearest;
}

}  // namespace

NearestValues nearest_values(const Workbench& bench, std::size_t k) {
  const std::size_t n = bench.n_layers() * bench.d_memory();
  k = std::min(k, n - 1);
  if (k == 0) return {};
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    const NearestValues nearest = compute(bench, k);
    write_safetensors(
        file, {{"memory", DType::i32, {n, k}, nearest.memory.data()}, {"cosine", DType::f32, {n, k}, nearest.cosine.data()}},
        metadata);
  };
  return bench.stored("nearest-values", {{"k", std::to_string(k)}}, make, [&](const SafetensorsFile& file) {
    return NearestValues{.k = k,
                         .memory = stored_array<std::int32_t>(file, "memory", {n, k}, 0, n),
                         .cosine = stored_array<float>(file, "cosine", {n, k})};
  });
}

}  // namespace ffmem::tools
