#include "tools/wait_policy.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>

namespace ffmem::tools {

void limit_spinning(char** argv) noexcept {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  std::array<char, 4096> path{};  // /proc/self/exe itself would name the process "exe"
  const ssize_t n = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (n > 0 && setenv("GOMP_SPINCOUNT", "1000", 0) == 0) execv(path.data(), argv);
}

}  // namespace ffmem::tools
