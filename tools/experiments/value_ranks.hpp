// Paper section 4, Figure 5: where the token that follows a key's best trigger example ranks among the value's predictions.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, over the keys that have a target w_i: a box plot of the rank of w_i in p_i, from 0.
Result value_ranks(Workbench& bench);

}  // namespace ffmem::tools
