// Micro-benchmarks of the operators, one instruction set at a time, on one thread unless FFMEM_BENCH_THREADS says otherwise.
// What is reported, and what each is checked against before it is timed: bench/operators.hpp.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/error.hpp"
#include "tools/speed/machine_peaks.hpp"
#include "tools/wait_policy.hpp"

namespace ffmem::bench {
namespace {

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const int threads = bench_threads();
  const std::vector<std::string> isas = available_isas();
  if (isas.empty()) {
    std::fputs("ops_bench: this build has no kernels for this machine\n", stderr);
    return 1;
  }
  for (const std::string& isa : isas) {
    benchmark::AddCustomContext(isa + " peak GFLOP/s per core", std::to_string(tools::peak_flops(isa) / 1e9));
    register_products(isa);
    register_attention(isa);
    register_rows(isa);
  }
  register_onednn(isas.front());
  benchmark::AddCustomContext("memory read GB/s, one core", std::to_string(tools::peak_read_bytes() / 1e9));
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::AddCustomContext("compiler", __VERSION__);
  const bool has_run = benchmark::RunSpecifiedBenchmarks() > 0;
  benchmark::Shutdown();
  return has_run && !any_wrong() ? 0 : 1;
}

}  // namespace
}  // namespace ffmem::bench

int main(int argc, char** argv) {
  ffmem::tools::limit_spinning(argv);
  try {
    return ffmem::bench::run(argc, argv);
  } catch (const ffmem::Error& error) {
    std::fprintf(stderr, "ops_bench: %s\n", error.what());
    return error.code() == ffmem::ErrorCode::argument_invalid ? 2 : 1;
  }
}
