// What each memory of the last layer (options().effect_layer: of another) does to the model's output; not in the paper.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// For every memory that is not 0, on options().effect_examples prefixes: its own prediction, where the model's and the layer's
/// prediction stand in it, and what removing it from the output changes. Every case is in OUT/data/memory-effects.safetensors.
Result memory_effects(Workbench& bench);

}  // namespace ffmem::tools
