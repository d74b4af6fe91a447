#include "ops/cpu/sparse_matmul.hpp"

#include <algorithm>
#include <span>
#include <vector>

#include "ops/cpu/parallel.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// The dense product of few rows reads all weights once; this one reads the active ones once a row.
constexpr std::size_t kMaxRows = 6;
// Active inputs of all rows together, as a share of one row's, up to which this is faster.
constexpr double kMaxShare = 0.4;

// Writes the indices of what is not zero to `active` and returns how many there are.
std::size_t find_active(std::span<const float> x, std::uint32_t* active) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    active[n] = static_cast<std::uint32_t>(i);  // overwritten by the next unless it counts
    n += x[i] != 0.0F ? 1 : 0;
  }
  return n;
}

}  // namespace

bool sparse_matmul(const MatmulKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y) {
  if (x.rows > kMaxRows) return false;
  static thread_local std::vector<std::uint32_t> active;
  active.resize(std::max(active.size(), kMaxRows * x.cols));
  std::size_t n_active[kMaxRows] = {};
  std::size_t total = 0;
  const std::uint32_t* const lists = active.data();
  for (std::size_t t = 0; t < x.rows; ++t) {
    n_active[t] = find_active(x.row(t), active.data() + t * x.cols);
    total += n_active[t];
  }
  if (static_cast<double>(total) > kMaxShare * static_cast<double>(x.cols)) return false;

  const std::size_t parts = std::min(w.most_parts(), static_cast<std::size_t>(available_threads()));
  const std::size_t tasks = x.rows * parts;
  parallel_tasks(tasks, tasks == 0 ? 0 : total * w.rows() / tasks, [&](std::size_t task) {
    const std::size_t t = task / parts;
    const OutputRange outputs = w.outputs(task % parts, parts);
    kernels.sparse({.x = x.row_data(t),
                    .active = lists + t * x.cols,
                    .n_active = n_active[t],
                    .w = outputs.panels,
                    .panel_bytes = w.panel_bytes(),
                    .bias = bias == nullptr ? nullptr : bias + outputs.begin,
                    .y = y.row_data(t) + outputs.begin,
                    .n_out = outputs.end - outputs.begin});
  });
  return true;
}

}  // namespace ffmem
