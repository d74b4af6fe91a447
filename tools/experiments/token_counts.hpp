// How often each token stands in the training text: the unigram distribution that section 4's experiments compare with.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Of every token of the vocabulary, how often it occurs in the sentences that the search reads, cut as they are there, without
/// the token fed before each: OUT/data/token-counts.safetensors, counted where it is not there. Throws what reading the text
/// throws, and UsageError where there is none.
std::vector<std::int64_t> token_counts(const Workbench& bench);

}  // namespace ffmem::tools
