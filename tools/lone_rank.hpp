// A launcher that this program's ranks do not see: each process would do all of the work, and write over the others' results.
#pragma once

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "ops/error.hpp"

namespace ffmem::tools {

/// For a process that is a single rank: throws argument_invalid, saying why, where its launcher tells of several.
inline void refuse_lone_rank(std::string_view why) {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* value = std::getenv(variable);
    const std::string_view text = value == nullptr ? "1" : value;
    int n = 1;
    std::from_chars(text.data(), text.data() + text.size(), n);
    if (n > 1) fail(ErrorCode::argument_invalid, "one of ", n, " ranks (", variable, "), but ", why);
  }
}

}  // namespace ffmem::tools
