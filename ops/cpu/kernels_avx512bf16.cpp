#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/lanes_avx512.hpp"
#include "ops/cpu/kernels/make_matmul_kernels.hpp"

namespace ffmem {

// Constant initialised: nothing compiled for this instruction set runs before it was chosen.
constinit const MatmulKernels kAvx512Bf16Matmul = kernels::make_matmul_kernels<kernels::Avx512Lanes>();

}  // namespace ffmem
