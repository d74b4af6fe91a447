// The trigger searches of all ranks (tools/ranks.hpp) as one.
#pragma once

#include <cstdint>

#include "tools/trigger_search.hpp"

namespace ffmem::tools {

/// Rank r of N has searched shard r of N. Merges pairwise, in a tree: afterwards rank 0's search is that of the whole corpus,
/// with the same bytes for any N. Takes the room of two more tables. Throws store_invalid where ranks saw different files;
/// interrupted where another rank failed.
void reduce_to_rank_0(TriggerSearch& search);

/// On rank 0 the sum over all ranks, on another its own. All call it after reduce_to_rank_0, whose errors it throws.
std::uint64_t sum_on_rank_0(std::uint64_t own);

/// The others wait until rank 0 has come here too. Throws interrupted where a rank failed instead.
void wait_for_rank_0();

}  // namespace ffmem::tools
