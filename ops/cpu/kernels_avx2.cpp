#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: nothing compiled for this instruction set runs before it was chosen.
constinit const KernelTable kAvx2Kernels = kernels::make_table<xsimd::fma3<xsimd::avx2>>("avx2");

}  // namespace ffmem
