#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/amx_unit.hpp"
#include "ops/cpu/kernels/lanes_avx512.hpp"
#include "ops/cpu/kernels/tile_matmul.hpp"

namespace ffmem {

// Constant initialised: nothing compiled for this instruction set runs before it was chosen.
constinit const TileKernels kAvx512AmxMatmul = kernels::TileMatmul<kernels::Avx512Lanes, kernels::AmxUnit>::kernels();

}  // namespace ffmem
