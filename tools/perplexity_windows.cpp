#include "tools/perplexity_windows.hpp"

#include <algorithm>

namespace ffmem::tools {

std::vector<Window> make_windows(std::size_t n_tokens, std::size_t window, std::size_t stride, bool lines) {
  const std::size_t n_run = lines ? n_tokens - 1 : n_tokens;
  std::vector<Window> windows;
  for (std::size_t begin = 0, previous_end = 0; previous_end < n_run; begin += stride) {
    const std::size_t end = std::min(begin + window, n_run);
    if (lines) {
      windows.push_back({begin, end, previous_end, end});
    } else {
      windows.push_back({begin, end, std::max(previous_end, begin + 1) - 1, end - 1});
    }
    previous_end = end;
  }
  return windows;
}

}  // namespace ffmem::tools
