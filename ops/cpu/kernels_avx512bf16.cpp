#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/kernels/dot.hpp"
#include "ops/cpu/kernels/dot_lanes_avx512.hpp"
#include "ops/cpu/kernels/pack_row.hpp"

namespace ffmem {

using AvxDot = kernels::Dot<kernels::DotLanesAvx512>;
using AvxPackRow = kernels::PackRow<kernels::DotLanesAvx512>;

// Constant initialised: nothing compiled for this instruction set runs before it was chosen.
constinit const DotKernels kAvx512Bf16Dot = {.bf16 = AvxDot::bf16,
                                             .int8 = AvxDot::int8,
                                             .int4 = AvxDot::int4,
                                             .round_bf16 = AvxPackRow::round_bf16,
                                             .quantise = AvxPackRow::quantise};

}  // namespace ffmem
