// What killed processes left half written: temporary files (loaders/atomic_file.hpp names them TARGET.tmp.PID and locks them)
// whose process is gone. A process on another machine that shares the folder is known by its lock.
#pragma once

#include <filesystem>

namespace ffmem::tools {

/// Removes those of `target`, which lie beside it.
void remove_leftovers(const std::filesystem::path& target);

/// Removes all in `folder`, if it is there, but not in its folders.
void remove_leftovers_in(const std::filesystem::path& folder);

}  // namespace ffmem::tools
