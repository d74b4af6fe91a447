// What the micro-benchmarks of the operators share: inputs, the comparison with the scalar version, and how rates are reported.
//
// Every benchmark first compares its operator with the scalar version on the same inputs: all that it gives, or three rows of a
// product. Rates, where they mean something (of sparse products the time alone does): FLOP/s and its share of the measured
// multiply-add peak; bytes of weights, or of keys and values, a second and their share of the measured read rate; else elements
// a second.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "ops/aligned_buffer.hpp"
#include "ops/matrix_view.hpp"
#include "ops/weight_format.hpp"

namespace ffmem::bench {

/// FFMEM_BENCH_THREADS, or 1. Throws argument_invalid where that is no whole number above 0.
int bench_threads();

/// n numbers of the normal distribution, the same ones for the same seed.
AlignedBuffer normal_values(std::size_t n, unsigned seed);

/// How many copies of so many bytes are taken in turn where each is to come from memory, as a large model's do: 128 MiB in all,
/// or a little more.
std::size_t copies_in_turn(std::size_t bytes);

/// Whether every |a - b| <= tolerance (1 + |b|).
bool close(ConstMatrixView a, ConstMatrixView b, double tolerance);

/// Leaves a benchmark out whose comparison failed, and says so in its line.
void skip_as_wrong(benchmark::State& state);

/// Whether any was.
bool any_wrong() noexcept;

/// What one call does: floating-point operations, by weights of this format; bytes read from memory, or 0 where they are no
/// limit.
struct Work {
  double flops;
  double bytes = 0.0;
  WeightFormat format = WeightFormat::f32;
};

/// Times `call` and sets the counters FLOP/s, of_peak and, where bytes are given, byte/s and of_read. By the wall's clock, as
/// the peaks are measured: the processor's time of one thread is less wherever it waits for another.
void time_work(benchmark::State& state, const std::string& isa, const Work& work, const std::function<void()>& call);

/// Likewise for the counter element/s of a call that handles n. `before` runs untimed before every call.
void time_elements(benchmark::State& state, std::size_t n, const std::function<void()>& call,
                   const std::function<void()>& before = {});

/// Benchmarks of one instruction set, under the names "OPERATOR/SHAPE/ISA".
void register_products(const std::string& isa);   // matrix products, in every weight format
void register_attention(const std::string& isa);  // attention, the cache it reads, rotary positions
void register_rows(const std::string& isa);       // everything else

/// oneDNN's matrix products, which generate code for the machine's best instruction set.
void register_onednn(const std::string& best_isa);

}  // namespace ffmem::bench
