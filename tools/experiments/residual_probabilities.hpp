// Paper section 5.2, Figure 10.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, the probability that the residual stream gives the model's prediction.
Result residual_probabilities(Workbench& bench);

}  // namespace ffmem::tools
