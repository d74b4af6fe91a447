// What killed processes left half written: temporary files (loaders/atomic_file.hpp names them TARGET.tmp.PID and locks them)
// whose process is gone; a name that no process can have given stays. A process on another machine that shares the folder is
// known by its lock. What cannot be removed stays.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

namespace ffmem::tools {

/// Removes those of `target`, which lie beside it; none where its folder cannot be listed.
void remove_leftovers(const std::filesystem::path& target);

/// Removes those in `folder`, if it is there, but not in its folders, of targets whose names have one of these extensions:
/// others are not what this program writes there.
void remove_leftovers_in(const std::filesystem::path& folder, std::span<const std::string_view> extensions);

}  // namespace ffmem::tools
