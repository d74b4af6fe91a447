// Which instruction sets' kernels this library holds and this machine runs, and the choice among them.
#pragma once

#include <string>
#include <vector>

#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

// Defined in kernels_*.cpp, each where its instruction set was compiled in.
extern const TileKernels kAvx512AmxMatmul;
extern const MatmulKernels kAvx512Bf16Matmul;
extern const KernelTable kAvx512bwKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kSse42Kernels;
extern const KernelTable kSse2Kernels;
extern const KernelTable kNeon64Kernels;

/// The kernels that run here, best first. None where the build was for other machines only (-Disas=avx2, and no AVX2 here).
std::vector<const KernelTable*> available_kernels();

/// The kernels of `isa`; where it is empty, of the environment variable FFMEM_ISA; where that is too, the best.
/// Throws argument_invalid for a set that is unknown or does not run here, and where none does.
const KernelTable& choose_kernels(const std::string& isa);

/// The same among `available`, best first.
const KernelTable& choose_kernels(const std::string& isa, const std::vector<const KernelTable*>& available);

}  // namespace ffmem
