// Products by packed weights over all threads: Backend::matmul for weights of any format. Inputs are rounded to the format once
// a call, into memory that each host thread keeps.
#pragma once

#include "ops/cpu/packed_matrix.hpp"

namespace ffmem {

void cpu_matmul(const MatmulKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y);

}  // namespace ffmem
