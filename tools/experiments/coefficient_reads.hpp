// Coefficients of chosen keys behind chosen prefixes, with no work beyond what they need: a prefix of another's tokens is read
// from the other's run, and a run ends behind the deepest key asked for.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/session.hpp"

namespace ffmem::tools {

/// One coefficient: of key `unit` of `layer` at the last of `tokens` (not empty), which are fed behind the prefix token.
struct CoefficientRead {
  std::vector<TokenId> tokens;
  std::size_t layer = 0;
  std::size_t unit = 0;
};

struct CoefficientReadOptions {
  std::optional<TokenId> prefix_token;  // fed before every prefix
  std::size_t batch_tokens = 1024;      // rows run at a time; a longer prefix is a batch of its own
  int n_threads = 0;

  /// Called after each batch with the tokens run so far, of n, and what is found so far: NaN where a read is still to come. May
  /// throw.
  std::function<void(std::size_t n_done, std::size_t n, std::span<const float> found)> progress{};
};

/// m of each read, in their order; the same bits as in a run of that prefix alone. Throws layer_/unit_out_of_range,
/// argument_invalid for an empty prefix, and what Session::run throws.
std::vector<float> read_coefficients(const std::shared_ptr<const Model>& model, std::span<const CoefficientRead> reads,
                                     const CoefficientReadOptions& options);

}  // namespace ffmem::tools
