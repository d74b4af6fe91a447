// The merge loop of byte-pair encoding, on ids.
#pragma once

#include <vector>

#include "loaders/tokenizer/pair_ranks.hpp"
#include "loaders/tokenizer/workspace.hpp"
#include "ops/dtype.hpp"

namespace ffmem::tokenization {

/// Merges workspace.symbols in place. `merged` holds the new id of each rank. Time: n log n for n symbols.
void merge_symbols(const PairRanks& ranks, const std::vector<TokenId>& merged, Workspace& workspace);

}  // namespace ffmem::tokenization
