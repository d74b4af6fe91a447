#include "tools/experiments/nearest_values.hpp"

#include <algorithm>
#include <cmath>

#include "loaders/safetensors.hpp"
#include "ops/aligned_buffer.hpp"
#include "tools/interrupt.hpp"
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
    double squares = 0.0;
    for (const float x : rows.row(i)) squares += static_cast<double>(x) * static_cast<double>(x);
    const double scale = squares > 0.0 ? 1.0 / std::sqrt(squares) : 0.0;
    for (float& x : rows.row(i)) x = static_cast<float>(static_cast<double>(x) * scale);
  }
  return buffer;
}

struct Near {
  float cosine = 0.0F;
  std::int32_t memory = 0;
};

bool nearer(const Near& a, const Near& b) { return a.cosine > b.cosine || (a.cosine == b.cosine && a.memory < b.memory); }

/// Puts the best of one row of cosines (with values from `first` on) into `best`, which stays k long and in order.
void keep_nearest(std::span<const std::uint32_t> found, std::span<const float> cosines, std::size_t first, std::size_t self,
                  std::size_t k, std::vector<Near>& best) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (first + found[i] == self) continue;
    const Near candidate{cosines[i], static_cast<std::int32_t>(first + found[i])};
    best.insert(std::ranges::upper_bound(best, candidate, nearer), candidate);
    if (best.size() > k) best.pop_back();
  }
}

NearestValues compute(const Workbench& bench, std::size_t k) {
  const Backend& backend = bench.model()->backend();
  const std::size_t n = bench.n_layers() * bench.d_memory();
  const AlignedBuffer values = unit_values(*bench.model());
  const std::size_t d = bench.model()->config().d_model;
  std::vector<std::vector<Near>> best(n);
  const AlignedBuffer cosine_buffer(kRows * std::min(kBlock, n));
  std::vector<std::uint32_t> indices(kRows * (k + 1));
  std::vector<float> cosines(kRows * (k + 1));
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
      const std::size_t n_found = std::min(k + 1, n_block);
      backend.top_k(products, n_found, indices.data(), cosines.data());
      for (std::size_t r = 0; r < n_rows; ++r) {
        keep_nearest(std::span(indices).subspan(r * n_found, n_found), std::span(cosines).subspan(r * n_found, n_found), first,
                     row + r, k, best[row + r]);
      }
    }
    progress.update(static_cast<double>(first + n_block));
  }
  NearestValues nearest{.k = k, .memory = {}, .cosine = {}};
  for (const std::vector<Near>& row : best) {
    for (const Near& near : row) {
      nearest.memory.push_back(near.memory);
      nearest.cosine.push_back(near.cosine);
    }
  }
  return nearest;
}

}  // namespace

NearestValues nearest_values(const Workbench& bench, std::size_t k) {
  const std::size_t n = bench.n_layers() * bench.d_memory();
  k = std::min(k, n - 1);
  if (k == 0) return {};
  const auto path = bench.stored("nearest-values", {{"k", std::to_string(k)}}, [&](const auto& file, const Origin& metadata) {
    const NearestValues nearest = compute(bench, k);
    write_safetensors(
        file, {{"memory", DType::i32, {n, k}, nearest.memory.data()}, {"cosine", DType::f32, {n, k}, nearest.cosine.data()}},
        metadata);
  });
  const SafetensorsFile file(path);
  const auto memory = file.at("memory").values<std::int32_t>();
  const auto cosine = file.at("cosine").values<float>();
  return {.k = k, .memory = {memory.begin(), memory.end()}, .cosine = {cosine.begin(), cosine.end()}};
}

}  // namespace ffmem::tools
