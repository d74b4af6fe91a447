// Paper section 5.1, Figure 7.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, the share of memories that are active, and of those that carry 90 % of the layer's mass.
Result active_memories(Workbench& bench);

}  // namespace ffmem::tools
