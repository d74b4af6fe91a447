// What the machine can do at best, measured: the rates of multiply-adds and of reading memory. Rates of operators and of whole
// models are reported as shares of these.
#pragma once

#include <string>

#include "ops/weight_format.hpp"

namespace ffmem::tools {

/// Multiplications and additions per second of n_threads threads at once, with the widest vectors of an instruction set that
/// this machine has (a name of available_isas()) and its own instructions for weights of `format`:
///   f32         fused multiply-adds of floats; below AVX2 four lanes without fusion
///   bf16        products of tiles on avx512amx; dot products of bf16 pairs on avx512bf16 if they are faster than those of f32;
///               else those of f32: a float's upper half is multiplied as a float
///   int8, int4  products of tiles on avx512amx, for int8; dot products of four bytes: one instruction on avx512amx and
///               avx512bf16, else multiply, add in pairs, add (AVX2, AVX-512); else those of f32
/// Best of several tries of about 20 ms each: a burst of the clock that lasts 2 ms is not what a model can have.
double peak_flops(const std::string& isa, WeightFormat format = WeightFormat::f32, int n_threads = 1);

/// Bytes per second that n_threads threads read from memory at once, four streams each. Best of several tries.
double peak_read_bytes(int n_threads = 1);

}  // namespace ffmem::tools
