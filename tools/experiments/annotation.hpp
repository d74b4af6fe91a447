// Paper section 3, Table 1 and Figure 2: patterns that people find in the trigger examples of keys.
#pragma once

#include <span>
#include <vector>

#include "tools/experiments/annotation_files.hpp"

namespace ffmem::tools {

/// Writes the material to annotate (not over files that have been filled in, nor beside such of other keys). With
/// options().annotations, of one annotator or two: Figure 2, the patterns in the form of Table 1, and for two their agreement.
/// No label is ever computed.
Result annotation(Workbench& bench);

/// Cohen's kappa of two annotators over the prefixes of all keys, each in one of the four classes of Coverage: (observed -
/// chance) / (1 - chance) agreement, with its interval over keys. NaN where both put everything in one class.
Estimate cohens_kappa(std::span<const KeyAnnotation> first, std::span<const KeyAnnotation> second, Random random);

}  // namespace ffmem::tools
