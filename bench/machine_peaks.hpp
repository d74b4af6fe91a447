// What the machine can do at best, measured: the rate of fused multiply-adds and of reading memory. Operators' rates are
// reported as shares of these.
#pragma once

#include <string>

namespace ffmem::bench {

/// Multiply-add rate of one core with the widest vectors of an instruction set ("avx512bw", "avx2", others: 4 lanes without
/// fusion), in FLOP/s. Best of several tries, measured once per process and set.
double peak_flops(const std::string& isa);

/// Bytes per second that one core reads from memory in four streams. Best of several tries.
double peak_read_bytes();

}  // namespace ffmem::bench
