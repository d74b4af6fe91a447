// Micro-benchmarks of the operators, one instruction set at a time, on one thread unless FFMEM_BENCH_THREADS says otherwise.
// What is reported, and what each is checked against before it is timed: bench/operators.hpp.
#include <benchmark/benchmark.h>

#include <string>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "tools/speed/machine_peaks.hpp"
#include "tools/wait_policy.hpp"

int main(int argc, char** argv) {
  ffmem::tools::limit_spinning(argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const std::string& isa : ffmem::available_isas()) {
    benchmark::AddCustomContext(isa + " peak GFLOP/s per core", std::to_string(ffmem::tools::peak_flops(isa) / 1e9));
    ffmem::bench::register_products(isa);
    ffmem::bench::register_attention(isa);
    ffmem::bench::register_rows(isa);
  }
  ffmem::bench::register_onednn(ffmem::available_isas().front());
  benchmark::AddCustomContext("memory read GB/s, one core", std::to_string(ffmem::tools::peak_read_bytes() / 1e9));
  benchmark::AddCustomContext("threads", std::to_string(ffmem::bench::bench_threads()));
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
