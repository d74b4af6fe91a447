#include "ops/cpu/cpu_matmul.hpp"

#include <algorithm>

#include "ops/cpu/parallel.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// The product cut into out_parts x row_parts blocks. Any cut gives the same bits.
struct Cut {
  std::size_t panel;   // outputs are cut at multiples of this
  std::size_t panels;  // in all
  std::size_t out_parts;
  std::size_t rows_per_block;
  std::size_t row_parts;
};

Cut cut(const KernelTable& kernels, std::size_t n_rows, const F32Matrix& w) {
  const auto threads = static_cast<std::size_t>(available_threads());
  // Kernels pack outputs that are contiguous so many at a time.
  const std::size_t panel = w.row_stride() == 1 ? std::max(kernels.matmul_panel, kPackedOutputs) : kernels.matmul_panel;
  const std::size_t panels = ceil_div(w.rows(), panel);
  if (n_rows <= kernels.matmul_few_rows) {
    // The weights are streamed once from memory: long runs matter more than balance, most where runs lie along the outputs.
    const std::size_t parts = std::min(panels, w.row_stride() == 1 ? threads : 4 * threads);
    return {panel, panels, parts, n_rows, 1};
  }
  // Each block repacks its weights: rows are cut only where there are too few panels to keep the threads busy.
  const std::size_t wanted = ceil_div(4 * threads, panels);
  const std::size_t row_parts = threads == 1 ? 1 : std::clamp<std::size_t>(n_rows / 96, 1, wanted);
  const std::size_t rows = ceil_div(ceil_div(n_rows, row_parts), kernels.matmul_few_rows) * kernels.matmul_few_rows;
  return {panel, panels, panels, rows, ceil_div(n_rows, rows)};
}

}  // namespace

void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y) {
  if (x.rows == 0) return;
  const Cut c = cut(kernels, x.rows, w);
  const std::size_t tasks = c.out_parts * c.row_parts;
  parallel_tasks(tasks, x.rows * w.rows() * w.cols() / tasks, [&](std::size_t task) {
    const std::size_t part = task / c.row_parts;
    const std::size_t row = task % c.row_parts * c.rows_per_block;
    const std::size_t begin = c.panels * part / c.out_parts * c.panel;
    const std::size_t end = std::min(c.panels * (part + 1) / c.out_parts * c.panel, w.rows());
    kernels.matmul({.x = x.data + row * x.stride,
                    .x_stride = x.stride,
                    .w = w.data() + begin * w.row_stride(),
                    .out_stride = w.row_stride(),
                    .in_stride = w.col_stride(),
                    .bias = bias == nullptr ? nullptr : bias + begin,
                    .y = y.data + row * y.stride + begin,
                    .y_stride = y.stride,
                    .n_rows = std::min(c.rows_per_block, x.rows - row),
                    .n_in = w.cols(),
                    .n_out = end - begin});
  });
}

}  // namespace ffmem
