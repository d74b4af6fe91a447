#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const KernelTable kNeon64Kernels = kernels::make_table<xsimd::neon64>("neon64");

}  // namespace ffmem
