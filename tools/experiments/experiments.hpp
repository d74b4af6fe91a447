// The paper's experiments (Geva et al. 2021), one function each: it takes what it needs from the workbench and returns what it
// found. Adding one: files beside these, listed in tools/meson.build, and a line in kExperiments.
#pragma once

#include <span>
#include <string_view>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

struct Experiment {
  std::string_view name;                           // on the command line, and of its folder
  std::string_view summary;                        // a line for --help
  void (*require_text)(const ExperimentOptions&);  // the one that it reads
  Result (*run)(Workbench&);
};

/// In the paper's order.
std::span<const Experiment> all_experiments() noexcept;

/// Throws argument_invalid, listing the names, for one that there is not.
const Experiment& experiment_from_name(std::string_view name);

}  // namespace ffmem::tools
