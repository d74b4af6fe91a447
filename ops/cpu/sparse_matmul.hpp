// Few rows' products over the inputs that are not zero: kernels/sparse_matmul.hpp over all threads.
#pragma once

#include "ops/cpu/packed_matrix.hpp"

namespace ffmem {

/// Backend::matmul for weights that may_skip_zeros(). Returns false, having written nothing, where the dense product is faster:
/// many rows, or many active inputs.
bool sparse_matmul(const MatmulKernels& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y);

}  // namespace ffmem
