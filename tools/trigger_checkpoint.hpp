// What a trigger search leaves beside its result while it runs, so that it can go on after it was ended at any moment.
// A safetensors file: the table so far (as in tools/trigger_store.hpp), the search's description and the next sentence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "hooks/top_triggers.hpp"
#include "tools/trigger_info.hpp"

namespace ffmem::tools {

struct TriggerCheckpoint {
  TriggerTable table;
  TriggerInfo info;
  std::int64_t next_sentence = 0;  // all before it are in the table, none from it on
};

/// OUT.partial; for rank 1 of 4 OUT.rank-1-of-4.partial.
std::filesystem::path checkpoint_path(const std::filesystem::path& out, int rank = 0, int n_ranks = 1);

/// The checkpoints of the same OUT by another number of ranks.
std::vector<std::filesystem::path> other_checkpoints(const std::filesystem::path& out, int n_ranks);

/// Written aside and renamed: whoever looks finds the earlier or the new one, whole. Throws file_unwritable.
void write_checkpoint(const std::filesystem::path& path, const TriggerTable& table, const TriggerInfo& info,
                      std::int64_t next_sentence);

/// Nothing where there is no such file. Throws store_invalid if the file is of another search than `expected` describes, saying
/// what differs, or of another size than n_layers and d_memory say.
std::optional<TriggerCheckpoint> read_checkpoint(const std::filesystem::path& path, const TriggerInfo& expected,
                                                 std::size_t n_layers, std::size_t d_memory);

}  // namespace ffmem::tools
