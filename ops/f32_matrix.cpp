#include "ops/f32_matrix.hpp"

#include <cstdint>

#include "ops/huge_pages.hpp"
#include "ops/parallel.hpp"

namespace ffmem {
namespace {

bool usable_in_place(const WeightMatrix& w) noexcept {
  return w.dtype == DType::f32 && (w.row_stride == 1 || w.col_stride == 1) &&
         reinterpret_cast<std::uintptr_t>(w.data) % alignof(float) == 0;
}

}  // namespace

F32Matrix::F32Matrix(const WeightMatrix& w)
    : rows_(w.rows), cols_(w.cols), row_stride_(w.row_stride), col_stride_(w.col_stride) {
  if (usable_in_place(w)) {
    data_ = static_cast<const float*>(w.data);
    return;
  }
  const bool by_column = w.row_stride == 1 && w.col_stride != 1;
  const WeightMatrix lines = by_column ? w.transposed() : w;
  copy_ = in_huge_pages(rows_ * cols_);
  parallel_for(lines.rows, lines.cols, [&](std::size_t i) { read_row(lines, i, copy_.data() + i * lines.cols); });
  row_stride_ = by_column ? 1 : cols_;
  col_stride_ = by_column ? rows_ : 1;
  data_ = copy_.data();
}

}  // namespace ffmem
