#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/lanes_avx512.hpp"
#include "ops/cpu/kernels/make_matmul_kernels.hpp"

namespace ffmem {

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const MatmulKernels kAvx512Bf16Matmul = kernels::make_matmul_kernels<kernels::Avx512Lanes>();

}  // namespace ffmem
