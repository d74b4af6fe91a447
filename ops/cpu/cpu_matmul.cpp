#include "ops/cpu/cpu_matmul.hpp"

#include <algorithm>

#include "ops/cpu/parallel.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// Rows that one task takes; a multiple of what any kernel takes at once. Their inputs stay in the second-level cache.
constexpr std::size_t kTaskRows = 192;
// Up to so many rows the weights are the larger part of what is read.
constexpr std::size_t kFewRows = 8;
constexpr std::size_t kTasksPerThread = 8;

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

// The block of all rows and no outputs yet, x rounded to what w is multiplied with.
MatmulBlock pack_rows(const MatmulKernels& kernels, ConstMatrixView x, const PackedMatrix& w, PackedRows& rows) {
  MatmulBlock block{};
  block.n_rows = x.rows;
  block.n_in = x.cols;
  if (w.format() == WeightFormat::f32) {
    block.x = reinterpret_cast<const std::uint32_t*>(x.data);
    block.x_stride = x.stride;
    return block;
  }
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
  block.x = reinterpret_cast<const std::uint32_t*>(rows.numbers.data());
  block.x_stride = stride;
  block.x_scales = rows.scales.data();
  block.x_sums = sums;
  block.n_groups = n_groups;
  return block;
}

auto kernel_for(const MatmulKernels& kernels, WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return kernels.f32;
    case WeightFormat::bf16:
      return kernels.bf16;
    case WeightFormat::int8:
      return kernels.int8;
    default:
      return kernels.int4;
  }
}

}  // namespace

void cpu_matmul(const MatmulKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y) {
  if (x.rows == 0) return;
  static thread_local PackedRows rows;
  const MatmulBlock all = pack_rows(kernels, x, w, rows);
  const auto kernel = kernel_for(kernels, w.format());
  // Any cut gives the same bits. Few rows stream the weights once from memory, in long runs; many reuse their own block of the
  // inputs for many panels.
  const auto threads = static_cast<std::size_t>(available_threads());
  const std::size_t row_parts = ceil_div(x.rows, kTaskRows);
  const std::size_t wanted = x.rows <= kFewRows ? 4 * threads : ceil_div(kTasksPerThread * threads, row_parts);
  const std::size_t out_parts = std::min(w.most_parts(), wanted);
  const std::size_t tasks = out_parts * row_parts;
  parallel_tasks(tasks, x.rows * w.rows() * w.cols() / tasks, [&](std::size_t task) {
    const OutputRange outputs = w.outputs(task / row_parts, out_parts);
    const std::size_t row = task % row_parts * kTaskRows;
    MatmulBlock block = all;
    block.x += row * all.x_stride;
    block.x_scales += row * all.n_groups;
    block.x_sums += row * all.n_groups;
    block.w = outputs.panels;
    block.panel_bytes = w.panel_bytes();
    block.bias = bias == nullptr ? nullptr : bias + outputs.begin;
    block.y = y.data + row * y.stride + outputs.begin;
    block.y_stride = y.stride;
    block.n_rows = std::min(kTaskRows, x.rows - row);
    block.n_out = outputs.end - outputs.begin;
    kernel(block);
  });
}

}  // namespace ffmem
