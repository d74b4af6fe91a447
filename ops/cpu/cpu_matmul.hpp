// Products over all threads: Backend::matmul for weights of any format and order. Inputs are rounded to the format once a call,
// into memory that each host thread keeps.
#pragma once

#include "ops/cpu/cpu_matrix.hpp"
#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, const CpuMatrix& w, const float* bias, MatrixView y,
                const Epilogue& then = {});

}  // namespace ffmem
