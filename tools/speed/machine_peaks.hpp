// What the machine can do, measured: the rates of multiply-adds and of reading memory, now and at best. Rates of operators and
// of whole models are reported as shares of these.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "ops/weight_format.hpp"

namespace ffmem::tools {

/// Multiplications and additions per second of n_threads threads at once, with the widest vectors of an instruction set that
/// this machine has (a name of available_isas()) and its own instructions for weights of `format`:
///   f32         fused multiply-adds of floats; with SSE four lanes without fusion
///   bf16        products of tiles on avx512amx; dot products of bf16 pairs on avx512bf16, or those of f32 if they are faster;
///               else those of f32: a float's upper half is multiplied as a float
///   int8, int4  products of tiles on avx512amx, for int8; dot products of four bytes: one instruction on avx512amx and
///               avx512bf16, else multiply, add in pairs, add (AVX2, AVX-512); else those of f32
/// One try of about 20 ms: a burst of the clock that lasts 2 ms is not what a model can have.
double flops_per_second(const std::string& isa, WeightFormat format, int n_threads);

/// That weights of `format` have no instructions of their own there, but those of f32.
bool multiplies_as_f32(const std::string& isa, WeightFormat format);

/// The best of several tries.
double peak_flops(const std::string& isa, WeightFormat format = WeightFormat::f32, int n_threads = 1);

/// Memory that threads read: 256 MiB, or 64 MiB each if that is more, so that no cache holds their parts.
class ReadProbe {
 public:
  explicit ReadProbe(int n_threads);

  /// Bytes per second that the threads read from memory at once, four streams each; three times all of it.
  double bytes_per_second() const;

 private:
  float* part(int thread) const noexcept { return data_.get() + static_cast<std::size_t>(thread) * n_; }

  int n_threads_;
  std::size_t n_ = 0;              // floats of a thread
  std::unique_ptr<float[]> data_;  // [n_threads, n_]
};

/// The best of several tries.
double peak_read_bytes(int n_threads = 1);

}  // namespace ffmem::tools
