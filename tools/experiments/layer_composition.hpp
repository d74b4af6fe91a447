// Paper section 5.2, Figure 11.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, whose prediction the layer's output is: the residual stream's, the feed-forward layer's, both's or neither's.
Result layer_composition(Workbench& bench);

}  // namespace ffmem::tools
