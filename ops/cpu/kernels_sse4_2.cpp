#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/make_table.hpp"

namespace ffmem {

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const KernelTable kSse42Kernels = kernels::make_table<xsimd::sse4_2>("sse4_2");

}  // namespace ffmem
