// The options that `ffmem experiment` and `ffmem suite` share.
#pragma once

#include <memory>

#include "tools/experiments/workbench.hpp"

namespace CLI {
class App;
}

namespace ffmem::tools {

/// Adds MODEL, the corpora and every option; `options` is filled when the command line is parsed.
void add_experiment_options(CLI::App& command, const std::shared_ptr<ExperimentOptions>& options);

/// Says on standard error that figures were left as data and scripts.
void warn_of_no_gnuplot();

}  // namespace ffmem::tools
