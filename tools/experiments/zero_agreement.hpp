// Paper section 5.1, Figure 8.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, the share of examples in which no memory's own prediction is the layer's, by both readings of "memory".
Result zero_agreement(Workbench& bench);

}  // namespace ffmem::tools
