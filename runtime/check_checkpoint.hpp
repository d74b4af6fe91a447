// Whether a checkpoint's configuration and weights fit each other, so that no operator reads beyond what there is, and nothing
// that is there goes unread.
#pragma once

#include "loaders/load_checkpoint.hpp"

namespace ffmem {

/// Throws config_invalid where the configuration contradicts itself or makes no numbers, tensor_missing, tensor_shape or
/// tensor_dtype, naming the weight, where one is not what the configuration asks for.
void check_checkpoint(const LoadedCheckpoint& checkpoint);

}  // namespace ffmem
