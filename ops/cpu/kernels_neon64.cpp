#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: nothing compiled for this instruction set runs before it was chosen.
constinit const KernelTable kNeon64Kernels = kernels::make_table<xsimd::neon64>("neon64");

}  // namespace ffmem
