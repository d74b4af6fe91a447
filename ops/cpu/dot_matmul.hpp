// Products by packed weights over all threads: Backend::matmul for the formats bf16, int8 and int4. Inputs are rounded once a
// call, into memory that each host thread keeps.
#pragma once

#include "ops/cpu/packed_matrix.hpp"

namespace ffmem {

void dot_matmul(const DotKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y);

}  // namespace ffmem
