// Which of a checkpoint's mapped pages stay in memory.
#pragma once

#include "loaders/checkpoint.hpp"
#include "loaders/model_weights.hpp"
#include "ops/backend.hpp"
#include "ops/weight_matrix.hpp"

namespace ffmem {

/// Lets go of the memory that holds `w`, if `w` lies in one of the checkpoint's files; the file stays mapped, and what is read
/// again comes back from it. For weights of which a converted copy was made: otherwise both would be resident. Returns whether
/// it does lie in a file.
bool release_pages(const Checkpoint& checkpoint, const WeightMatrix& w) noexcept;

/// Lets go of `stored` if `prepared` is a copy of it, and returns its bytes in the file, or 0. Matrices that share pages with
/// it, as the parts of a fused one do, should have been prepared, too.
std::size_t release_if_copied(const ModelWeights& weights, const WeightMatrix& stored, const PreparedMatrix& prepared) noexcept;

}  // namespace ffmem
