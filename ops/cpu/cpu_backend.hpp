// The CPU backend: kernels compiled per instruction set and chosen at run time. "avx512onednn" leaves float32 matrices where
// the checkpoint's mapping has them, for products by oneDNN where it keeps the rules of ops/backend.hpp (onednn_matmul.hpp):
// slower than "avx512bw", but processes share the file's pages. Values of ReLU layers (Inputs::sparse) are copied there, too,
// so that new tokens read the active ones alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/backend.hpp"

namespace ffmem {

/// Instruction sets compiled into this library that the machine has, best first ("avx512amx", "avx512bf16", "avx512bw",
/// "avx512onednn", "avx2", "sse4_2", "sse2"; "neon64" on aarch64). None where the library was built for other machines only.
std::vector<std::string> available_isas();

/// A backend for `isa`, or for the best available one where it is empty. The environment variable FFMEM_ISA stands in for
/// an empty `isa`. Thread-safe; the result is immutable.
/// Throws argument_invalid for a set that is unknown or not available here, listing those that are, and where none is;
/// backend_failed where oneDNN refuses.
std::shared_ptr<const Backend> make_cpu_backend(const std::string& isa = "");

}  // namespace ffmem
