#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/lanes_avx2.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

using Avx2 = xsimd::fma3<xsimd::avx2>;

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const KernelTable kAvx2Kernels = kernels::make_table<Avx2, kernels::Avx2Lanes<Avx2>>("avx2");

}  // namespace ffmem
