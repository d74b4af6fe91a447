// The overlapping windows in which ffmem perplexity runs a text.
#pragma once

#include <cstddef>
#include <vector>

namespace ffmem::tools {

/// Tokens [begin, end) are run; those in [first_scored, end_scored) are scored by what they predict for the token behind them.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t first_scored = 0;
  std::size_t end_scored = 0;
};

/// Windows of `window` tokens (the last one perhaps fewer), each `stride` behind the one before. Every token is scored once,
/// but for the text's first, and where windows lie side by side each one's first; with `lines` a window's last token predicts
/// the next one's first.
std::vector<Window> make_windows(std::size_t n_tokens, std::size_t window, std::size_t stride, bool lines);

}  // namespace ffmem::tools
