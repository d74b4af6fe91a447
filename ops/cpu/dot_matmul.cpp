#include "ops/cpu/dot_matmul.hpp"

#include <algorithm>

#include "ops/cpu/parallel.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// Rows that one task takes; a multiple of what any kernel takes at once. Their inputs stay in the second-level cache.
constexpr std::size_t kTaskRows = 192;

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// Rounded inputs of one call.
struct PackedRows {
  AlignedBuffer numbers;
  AlignedBuffer scales;
  AlignedBuffer sums;

  static void grow(AlignedBuffer& buffer, std::size_t n_elements) {
    if (buffer.size() < n_elements) buffer = AlignedBuffer(n_elements);
  }
};

DotBlock pack_rows(const DotKernels& kernels, ConstMatrixView x, const PackedMatrix& w, PackedRows& rows) {
  const bool bf16 = w.format() == WeightFormat::bf16;
  const std::size_t stride = ceil_div(x.cols, 8) * (bf16 ? 4 : 2);
  const std::size_t n_groups = w.n_groups();
  PackedRows::grow(rows.numbers, x.rows * stride);
  PackedRows::grow(rows.scales, x.rows * n_groups);
  PackedRows::grow(rows.sums, x.rows * n_groups);
  auto* const sums = reinterpret_cast<std::int32_t*>(rows.sums.data());
  parallel_for(x.rows, 2 * x.cols, [&](std::size_t t) {
    float* const row = rows.numbers.data() + t * stride;
    if (bf16) {
      kernels.round_bf16(x.row_data(t), x.cols, reinterpret_cast<std::uint16_t*>(row));
    } else {
      kernels.quantise(x.row_data(t), x.cols, group_size(w.format()), reinterpret_cast<std::int8_t*>(row),
                       rows.scales.data() + t * n_groups, sums + t * n_groups);
    }
  });
  return {.x = reinterpret_cast<const std::uint32_t*>(rows.numbers.data()),
          .x_stride = stride,
          .x_scales = rows.scales.data(),
          .x_sums = sums,
          .n_groups = n_groups,
          .w = nullptr,
          .bias = nullptr,
          .y = nullptr,
          .y_stride = 0,
          .n_rows = x.rows,
          .n_in = x.cols,
          .n_out = 0};
}

}  // namespace

void dot_matmul(const DotKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y) {
  if (x.rows == 0) return;
  static thread_local PackedRows rows;
  const DotBlock all = pack_rows(kernels, x, w, rows);
  const auto kernel = w.format() == WeightFormat::bf16   ? kernels.bf16
                      : w.format() == WeightFormat::int8 ? kernels.int8
                                                         : kernels.int4;
  // Few rows: the weights are streamed once from memory, in long runs.
  const auto threads = static_cast<std::size_t>(available_threads());
  const std::size_t out_parts = x.rows <= 8 ? std::min(w.n_panels(), 4 * threads) : w.n_panels();
  const std::size_t row_parts = ceil_div(x.rows, kTaskRows);
  const std::size_t tasks = out_parts * row_parts;
  parallel_tasks(tasks, x.rows * w.rows() * w.cols() / tasks, [&](std::size_t task) {
    const std::size_t part = task / row_parts;
    const std::size_t row = task % row_parts * kTaskRows;
    const std::size_t first_panel = w.n_panels() * part / out_parts;
    const std::size_t begin = first_panel * kPanelOutputs;
    const std::size_t end = std::min(w.n_panels() * (part + 1) / out_parts * kPanelOutputs, w.rows());
    DotBlock block = all;
    block.x += row * all.x_stride;
    block.x_scales += row * all.n_groups;
    block.x_sums += row * all.n_groups;
    block.w = w.panel(first_panel);
    block.bias = bias == nullptr ? nullptr : bias + begin;
    block.y = y.data + row * y.stride + begin;
    block.y_stride = y.stride;
    block.n_rows = std::min(kTaskRows, x.rows - row);
    block.n_out = end - begin;
    kernel(block);
  });
}

}  // namespace ffmem
