#include "ops/cpu/dispatch.hpp"

#include <cstdlib>
#ifdef FFMEM_HAVE_AVX512AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "ops/cpu/cpu_backend.hpp"
#include "ops/error.hpp"

namespace ffmem {

namespace {

#if defined(FFMEM_HAVE_AVX512BW) && defined(FFMEM_HAVE_AVX512BF16)
// AVX-512's kernels with the dot products of later processors.
const KernelTable& avx512bf16_kernels() {
  static const KernelTable table = [] {
    KernelTable kernels = kAvx512bwKernels;
    kernels.isa = "avx512bf16";
    kernels.matmul = kAvx512Bf16Matmul;
    // Intel's processors so far do half as many multiply-adds by vdpbf16ps as by float32 (a Xeon with AMX: 87 against 168
    // GFLOP/s a core), AMD's twice as many.
    if (__builtin_cpu_is("intel") != 0) kernels.matmul.bf16 = kAvx512bwKernels.matmul.bf16;
    return kernels;
  }();
  return table;
}

#ifdef FFMEM_HAVE_AVX512AMX
// The same with products by a tile unit.
const KernelTable& avx512amx_kernels() {
  static const KernelTable table = [] {
    KernelTable kernels = avx512bf16_kernels();
    kernels.isa = "avx512amx";
    kernels.matmul.bf16 = kAvx512AmxMatmul.bf16;
    kernels.matmul.int8_of_many = kAvx512AmxMatmul.int8_of_many;
    return kernels;
  }();
  return table;
}

// The system gives the 8 KiB of a tile unit's registers only to processes that ask for them.
bool may_use_tiles() {
  // Not every compiler's __builtin_cpu_supports knows these.
  constexpr unsigned kAmxBf16TileInt8 = 1U << 22 | 1U << 24 | 1U << 25;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool has_leaf = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0;
  if (!has_leaf || (edx & kAmxBf16TileInt8) != kAmxBf16TileInt8) return false;
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif
#endif

#ifdef FFMEM_HAVE_AVX512BW
// Below AVX-512 no version of oneDNN was seen to give a row the same bits for any number of rows.
const KernelTable& avx512onednn_kernels() {
  static const KernelTable table = [] {
    KernelTable kernels = kAvx512bwKernels;
    kernels.isa = "avx512onednn";
    kernels.by_onednn = true;
    return kernels;
  }();
  return table;
}
#endif

}  // namespace

std::vector<const KernelTable*> available_kernels() {
  std::vector<const KernelTable*> tables;
  // The build defines FFMEM_HAVE_* for each set it compiled; the builtins also ask whether the system saves the registers.
#ifdef FFMEM_HAVE_AVX512BW
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
#ifdef FFMEM_HAVE_AVX512BF16
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) {
#ifdef FFMEM_HAVE_AVX512AMX
      if (may_use_tiles()) tables.push_back(&avx512amx_kernels());
#endif
      tables.push_back(&avx512bf16_kernels());
    }
#endif
    tables.push_back(&kAvx512bwKernels);
    tables.push_back(&avx512onednn_kernels());
  }
#endif
#ifdef FFMEM_HAVE_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kAvx2Kernels);
#endif
#ifdef FFMEM_HAVE_SSE4_2
  if (__builtin_cpu_supports("sse4.2")) tables.push_back(&kSse42Kernels);
#endif
#ifdef FFMEM_HAVE_SSE2
  tables.push_back(&kSse2Kernels);
#endif
#ifdef FFMEM_HAVE_NEON64
  tables.push_back(&kNeon64Kernels);
#endif
  return tables;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : available_kernels()) names.emplace_back(table->isa);
  return names;
}

const KernelTable& choose_kernels(const std::string& isa) { return choose_kernels(isa, available_kernels()); }

const KernelTable& choose_kernels(const std::string& isa, const std::vector<const KernelTable*>& available) {
  if (available.empty()) {
    fail(ErrorCode::argument_invalid,
         "this build has kernels for no instruction set of this machine: build it with the option isas at auto");
  }
  const char* from_environment = std::getenv("FFMEM_ISA");
  const bool asked = !isa.empty();
  const std::string wanted = asked ? isa : (from_environment != nullptr ? from_environment : "");
  std::string names;
  for (const KernelTable* table : available) {
    if (wanted.empty() || wanted == table->isa) return *table;
    names += names.empty() ? table->isa : std::string(", ") + table->isa;
  }
  fail(ErrorCode::argument_invalid, asked ? "instruction set" : "FFMEM_ISA", ": expected one of ", names,
       " (those this machine runs), found \"", wanted, "\"");
}

}  // namespace ffmem
