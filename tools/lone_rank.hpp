// A launcher that this program's ranks do not see: each process would do all of the work, and write over the others' results.
#pragma once

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "ops/error.hpp"

namespace ffmem::tools {

/// For a process that is a single rank and is to do all of the work: throws argument_invalid where its launcher tells of
/// several.
inline void refuse_lone_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* value = std::getenv(variable);
    const std::string_view text = value == nullptr ? "1" : value;
    int n = 1;
    std::from_chars(text.data(), text.data() + text.size(), n);
    if (n <= 1) continue;
    fail(ErrorCode::argument_invalid, "one of ", n, " ranks (", variable,
         ") that do not see each other: use the mpirun of the MPI that this program was built with (-Dmpi=enabled), or --shard "
         "and ffmem merge");
  }
}

}  // namespace ffmem::tools
