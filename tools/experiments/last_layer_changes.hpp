// Paper section 5.2: what the last layer changes.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Cases in which the last feed-forward layer changes the prediction, for a person to label: changes.csv. Labels in changes.csv
/// of the folders of options().annotations, or that stand there already, are kept and counted, a case's first one in this
/// order. Throws argument_invalid for labels of other cases.
Result last_layer_changes(Workbench& bench);

}  // namespace ffmem::tools
