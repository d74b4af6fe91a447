// The machine's processor by name, for results that are compared with others'.
#pragma once

#include <optional>
#include <string>

namespace ffmem::tools {

/// The first "model name" of /proc/cpuinfo; empty where there is none (aarch64 has no such line). Reads the file each time.
std::optional<std::string> processor_name();

}  // namespace ffmem::tools
