// That all ranks read the same files, said by the fingerprints of those files. Like tools/ranks.hpp, which it needs, nothing
// for a single rank.
#pragma once

#include <string>

namespace ffmem::tools {

/// Tells another rank which files this one read.
void send_files_read(int to, const std::string& fingerprints);

/// Hears it from another rank. Throws store_invalid, naming both, where they differ from this rank's own.
void check_files_read(int from, const std::string& own);

}  // namespace ffmem::tools
