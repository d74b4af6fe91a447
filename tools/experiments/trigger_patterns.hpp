// Paper section 3.2 by proxy: how alike the trigger examples of each key are.
#pragma once

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// Per layer, over the keys that have as many examples as an annotator would read: the share that end in the key's most common
/// token (two tokens), against the same for random prefixes.
Result trigger_patterns(Workbench& bench);

}  // namespace ffmem::tools
