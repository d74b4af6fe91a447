#include "tools/wait_policy.hpp"

#include <unistd.h>

#include <cstdlib>

namespace ffmem::tools {

void limit_spinning(char** argv) noexcept {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "1000", 0) == 0) execv("/proc/self/exe", argv);
}

}  // namespace ffmem::tools
