// Paper section 5.2: what the last layer changes.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Cases in which the last feed-forward layer changes the prediction, for a person to label: changes.csv. Labels that stand
/// there already, or in changes.csv of a folder of options().annotations, are kept and counted. Throws argument_invalid for
/// labels of other cases.
Result last_layer_changes(Workbench& bench);

}  // namespace ffmem::tools
