// Few rows' products over the inputs that are not zero: kernels/sparse_matmul.hpp over all threads.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/f32_matrix.hpp"

namespace ffmem {

/// Backend::matmul for weights that lie input by input (row_stride 1) and are all finite. Returns false, having written
/// nothing, where the dense product is faster: many rows, or many active inputs.
bool sparse_matmul(const KernelTable& kernels, ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y);

/// Whether no weight is infinite or NaN.
bool all_finite(const F32Matrix& w);

}  // namespace ffmem
