#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: nothing compiled for this instruction set runs before it was chosen.
constinit const KernelTable kSse2Kernels = kernels::make_table<xsimd::sse2>("sse2");

}  // namespace ffmem
