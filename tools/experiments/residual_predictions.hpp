// Paper section 5.2, Figure 9.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, the share of examples in which the residual stream predicts already what the model will.
Result residual_predictions(Workbench& bench);

}  // namespace ffmem::tools
