#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/amx_unit.hpp"
#include "ops/cpu/kernels/lanes_avx512.hpp"
#include "ops/cpu/kernels/tile_matmul.hpp"

namespace ffmem {

// constinit: no code compiled for this instruction set may run before it is chosen.
constinit const TileKernels kAvx512AmxMatmul = kernels::TileMatmul<kernels::Avx512Lanes, kernels::AmxUnit>::kernels();

}  // namespace ffmem
