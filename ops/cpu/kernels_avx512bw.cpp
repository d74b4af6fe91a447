#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: nothing compiled for this instruction set runs before it was chosen.
constinit const KernelTable kAvx512bwKernels = kernels::make_table<xsimd::avx512bw>("avx512bw");

}  // namespace ffmem
