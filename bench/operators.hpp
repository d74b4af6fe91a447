// What the micro-benchmarks of the operators share: inputs, the comparison with the scalar version, and how rates are reported.
//
// Every benchmark first compares its operator with the scalar version on the same inputs. Rates, where they mean something (of
// sparse products the time alone does): FLOP/s and its share of the measured multiply-add peak; bytes of weights, or of rows
// read and written, a second and their share of the measured read rate.
#pragma once

#include <benchmark/benchmark.h>

#include <string>

#include "ops/aligned_buffer.hpp"
#include "ops/matrix_view.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::bench {

/// FFMEM_BENCH_THREADS, or 1.
int bench_threads();

/// n numbers of the normal distribution, the same ones for the same seed.
AlignedBuffer normal_values(std::size_t n, unsigned seed);

/// Whether every |a - b| <= tolerance (1 + |b|).
bool close(ConstMatrixView a, ConstMatrixView b, double tolerance);

/// Counters of a benchmark that has run: what one iteration does.
void report_flops(benchmark::State& state, const std::string& isa, double flops, WeightFormat format = WeightFormat::f32);
void report_bytes(benchmark::State& state, double bytes);
void report_elements(benchmark::State& state, std::size_t n);

/// Benchmarks of one instruction set, under the names "OPERATOR/SHAPE/ISA".
void register_products(const std::string& isa);   // matrix products, in every weight format
void register_attention(const std::string& isa);  // attention, the cache it reads, rotary positions
void register_rows(const std::string& isa);       // everything else

/// oneDNN's matrix products, which generate code for the machine's best instruction set.
void register_onednn(const std::string& best_isa);

}  // namespace ffmem::bench
