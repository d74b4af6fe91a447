#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const KernelTable kAvx512bwKernels = kernels::make_table<xsimd::avx512bw>("avx512bw");

}  // namespace ffmem
