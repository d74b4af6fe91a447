#include "ops/cpu/cpu_matmul.hpp"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "ops/parallel.hpp"
#include "ops/rounding.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// Rows that one task takes, about: their inputs of one run stay in the second-level cache.
constexpr std::size_t kTaskRows = 192;
// So that threads end at about the same time; few rows wait for memory, which one thread alone does not keep busy.
constexpr std::size_t kTasksPerThread = 12;

// The rows of a call in parts, one for a task, of whole tiles but for the last one's end. Where there are more parts than
// threads each thread has as many, the same ones in every product: another core's cache is far away.
class RowParts {
 public:
  RowParts(std::size_t n_rows, std::size_t tile_rows, std::size_t threads)
      : n_rows_(n_rows), tile_rows_(tile_rows), n_tiles_(ceil_div(n_rows, tile_rows)), count_(ceil_div(n_rows, kTaskRows)) {
    if (count_ > threads) count_ = round_up(count_, threads);
    count_ = std::min(count_, n_tiles_);
  }

  std::size_t count() const { return count_; }
  std::size_t tile_rows() const { return tile_rows_; }
  std::size_t begin(std::size_t part) const { return std::min(n_tiles_ * part / count_ * tile_rows_, n_rows_); }
  RowTiles tiles(std::size_t part) const { return {begin(part + 1) - begin(part), tile_rows_}; }
  std::size_t most_tiles() const { return ceil_div(n_tiles_, count_); }

 private:
  std::size_t n_rows_;
  std::size_t tile_rows_;
  std::size_t n_tiles_;
  std::size_t count_;
};

// Inputs of one call as the kernels read them.
struct PackedRows {
  AlignedBuffer units;
  AlignedBuffer scales;
  AlignedBuffer sums;     // int4: x_sums; int8: x_starts, as int32
  AlignedBuffer rounded;  // for each thread, a row before its blocks go where they belong
};

// Units from a row to the next.
std::size_t n_units(RowUnits units, ConstMatrixView x) {
  const std::size_t filled_up = round_up(x.cols, kRoundedStep);
  switch (units) {
    case RowUnits::floats:
      return x.stride;
    case RowUnits::rounded_floats:
      return filled_up;
    case RowUnits::bf16_pairs:
    case RowUnits::int8_magnitudes:
      return filled_up / 2;
    case RowUnits::int8:
      break;
  }
  return filled_up / 4;
}

// Rounds a call's rows to what the kernel reads, or leaves them where they lie.
class RowPacker {
 public:
  RowPacker(const MatmulKernels& kernels, const MatmulKernel& kernel, ConstMatrixView x, const CpuMatrix& w, PackedRows& rows)
      : kernels_(kernels),
        x_(x),
        units_(kernel.units),
        layout_(kernel.layout),
        format_(w.format()),
        n_units_(n_units(kernel.units, x)),
        n_groups_(w.n_groups()),
        rows_(rows) {
    if (in_place()) return;
    rows.units.make_room(x.rows * n_units_);
    rows.scales.make_room(x.rows * n_groups_);
    rows.sums.make_room(x.rows * n_groups_);
    if (layout_ == RowLayout::blocks) rows.rounded.make_room(static_cast<std::size_t>(available_threads()) * n_units_);
  }

  void pack(const RowParts& parts) const {
    if (in_place()) return;
    const std::size_t most = parts.most_tiles();
    parallel_for(parts.count() * most, 2 * x_.cols * parts.tile_rows(), [&](std::size_t i) {
      const std::size_t part = i / most;
      const std::size_t tile = i % most;
      const RowTiles tiles = parts.tiles(part);
      if (tile < tiles.count()) pack_tile(parts.begin(part) + tiles.begin(tile), parts.begin(part) + tiles.begin(tile + 1));
    });
  }

  // Rows [row, row + n_rows), and no outputs yet.
  MatmulBlock block(std::size_t row, std::size_t n_rows) const {
    MatmulBlock block{};
    block.x = reinterpret_cast<const std::uint32_t*>(in_place() ? x_.data : rows_.units.data()) + row * n_units_;
    block.x_units = n_units_;
    if (n_groups_ != 0) {
      const RowGroups of_row = groups(row);
      block.x_scales = of_row.scales;
      block.x_starts = of_row.starts;
      block.x_sums = of_row.sums;
    }
    block.x_rows = x_.rows;
    block.n_groups = n_groups_;
    block.n_rows = n_rows;
    block.n_in = x_.cols;
    return block;
  }

 private:
  bool in_place() const { return units_ == RowUnits::floats; }

  void pack_tile(std::size_t begin, std::size_t end) const {
    auto* const out = reinterpret_cast<std::uint32_t*>(rows_.units.data()) + begin * n_units_;
    if (layout_ == RowLayout::rows) {
      for (std::size_t t = begin; t < end; ++t) round(t, out + (t - begin) * n_units_);
      return;
    }
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    auto* const rounded = reinterpret_cast<std::uint32_t*>(rows_.rounded.data()) + thread * n_units_;
    for (std::size_t t = begin; t < end; ++t) {
      round(t, rounded);
      for (std::size_t u = 0; u < n_units_; u += kBlockUnits) {
        std::memcpy(out + u * (end - begin) + (t - begin) * kBlockUnits, rounded + u, kBlockUnits * sizeof *out);
      }
    }
  }

  void round(std::size_t t, std::uint32_t* out) const {
    switch (units_) {
      case RowUnits::rounded_floats:
        return kernels_.round_floats(x_.row_data(t), x_.cols, reinterpret_cast<float*>(out));
      case RowUnits::bf16_pairs:
        return kernels_.round_bf16(x_.row_data(t), x_.cols, reinterpret_cast<std::uint16_t*>(out));
      case RowUnits::int8_magnitudes:
        return kernels_.quantise_magnitudes(x_.row_data(t), x_.cols, out, groups(t));
      case RowUnits::int8:
        return kernels_.quantise(x_.row_data(t), x_.cols, group_size(format_), reinterpret_cast<std::int8_t*>(out), groups(t));
      case RowUnits::floats:
        return;
    }
  }

  RowGroups groups(std::size_t t) const {
    float* const sums = rows_.sums.data() + t;
    const bool starts = format_ == WeightFormat::int8;
    return {.scales = rows_.scales.data() + t,
            .starts = starts ? reinterpret_cast<std::int32_t*>(sums) : nullptr,
            .sums = starts ? nullptr : sums,
            .stride = x_.rows};
  }

  const MatmulKernels& kernels_;
  ConstMatrixView x_;
  RowUnits units_;
  RowLayout layout_;
  WeightFormat format_;
  std::size_t n_units_;
  std::size_t n_groups_;
  PackedRows& rows_;
};

// The epilogue of rows [begin, end), of whose outputs some are ready and still in cache.
void finish(const KernelTable& kernels, const Epilogue& then, MatrixView y, std::size_t begin, std::size_t end,
            const OutputRange& outputs) {
  if (then.activation == Activation::linear && then.sum.data == nullptr) return;
  const std::size_t n = outputs.end - outputs.begin;
  for (std::size_t t = begin; t < end; ++t) {
    float* const row = y.row_data(t) + outputs.begin;
    if (then.activation != Activation::linear) kernels.activate(then.activation, row, n);
    if (then.sum.data != nullptr) kernels.add(then.sum.row_data(t) + outputs.begin, row, n);
  }
}

// The outputs of all products in parts, one for a task. Any cut gives the same bits.
class OutputParts {
 public:
  // The outputs of a product are cut into about `wanted` parts, between groups of `panels`.
  OutputParts(std::span<const Product> products, std::size_t wanted, std::size_t panels)
      : products_(products), wanted_(wanted), panels_(panels) {
    for (std::size_t p = 0; p < products.size(); ++p) count_ += parts_of(p);
  }

  std::size_t count() const { return count_; }

  struct Part {
    const Product& product;
    OutputRange outputs;
  };
  Part at(std::size_t i) const {
    std::size_t p = 0;
    while (i >= parts_of(p)) i -= parts_of(p++);
    return {products_[p], matrix(p).outputs(i, parts_of(p), panels_)};
  }

 private:
  const CpuMatrix& matrix(std::size_t p) const { return static_cast<const CpuMatrix&>(products_[p].w); }
  std::size_t parts_of(std::size_t p) const { return std::min(matrix(p).most_parts(panels_), wanted_); }

  std::span<const Product> products_;
  std::size_t wanted_;
  std::size_t panels_;
  std::size_t count_ = 0;
};

}  // namespace

void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, std::span<const Product> products) {
  if (x.rows == 0) return;
  static thread_local PackedRows buffers;
  const auto& any_matrix = static_cast<const CpuMatrix&>(products.front().w);
  const MatmulKernel kernel = any_matrix.kernel(kernels.matmul, x.rows);
  const auto threads = static_cast<std::size_t>(available_threads());
  const RowParts rows(x.rows, kernel.tile_rows, threads);
  const RowPacker packer(kernels.matmul, kernel, x, any_matrix, buffers);
  packer.pack(rows);
  const std::size_t panels = x.rows > kernel.tile_rows ? kernel.tile_panels : kPanelsTogether;
  const OutputParts out_parts(products, ceil_div(kTasksPerThread * threads, rows.count()), panels);
  std::size_t n_outputs = 0;
  for (const Product& product : products) {
    assert(product.w.format() == any_matrix.format());
    n_outputs += product.w.rows();
  }
  const std::size_t tasks = out_parts.count() * rows.count();
  parallel_tasks(tasks, x.rows * n_outputs * x.cols / tasks, [&](std::size_t task) {
    const auto [product, outputs] = out_parts.at(task % out_parts.count());
    const std::size_t part = task / out_parts.count();
    const std::size_t row = rows.begin(part);
    MatmulBlock block = packer.block(row, rows.tiles(part).n_rows);
    block.w = outputs.lines;
    block.bias = product.bias == nullptr ? nullptr : product.bias + outputs.begin;
    block.y = product.y.data + row * product.y.stride + outputs.begin;
    block.y_stride = product.y.stride;
    block.n_out = outputs.end - outputs.begin;
    kernel.run(block);
    finish(kernels, product.then, product.y, row, row + block.n_rows, outputs);
  });
}

}  // namespace ffmem
