// Products by packed weights over all threads: Backend::matmul for weights of any format. Inputs are rounded to the format once
// a call, into memory that each host thread keeps.
#pragma once

#include "ops/cpu/kernel_table.hpp"
#include "ops/cpu/packed_matrix.hpp"

namespace ffmem {

void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, const PackedMatrix& w, const float* bias, MatrixView y,
                const Epilogue& then = {});

}  // namespace ffmem
