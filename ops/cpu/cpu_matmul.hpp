// Products over all threads, for weights of any format and order. Inputs are rounded to the format once a call, into memory
// that each host thread keeps.
#pragma once

#include "ops/cpu/cpu_matrix.hpp"
#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

/// Backend::matmul of one product or more whose matrices are CpuMatrix and have the same kernel for so many rows.
void cpu_matmul(const KernelTable& kernels, ConstMatrixView x, std::span<const Product> products);

}  // namespace ffmem
