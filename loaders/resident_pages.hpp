// Which of a checkpoint's mapped pages stay in memory.
#pragma once

#include "loaders/safetensors.hpp"
#include "ops/weight_matrix.hpp"

namespace ffmem {

/// Lets go of the memory that holds `w`, if `w` lies in one of the checkpoint's files; the file stays mapped, and what is read
/// again comes back from it. For weights of which a converted copy was made: otherwise both would be resident.
void release_pages(const Checkpoint& checkpoint, const WeightMatrix& w) noexcept;

}  // namespace ffmem
