// Matrix product over all threads; see Backend::matmul for shapes and ops/cpu/kernels/matmul.hpp for the order of the sums.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/f32_matrix.hpp"

namespace ffmem {

void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y);

}  // namespace ffmem
