// Paper section 5.1: who agrees.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Where a memory's own prediction is the layer's: how often it is a stop word, and the prefix short, against all cases.
Result agreeing_memories(Workbench& bench);

}  // namespace ffmem::tools
