// The suite's report: report.html, which opens from disk without a server or network.
#pragma once

#include <string>
#include <vector>

#include "tools/experiments/manifest.hpp"
#include "tools/experiments/result.hpp"

namespace ffmem::tools {

/// The page. Figures, tables and data are links into the folder that the results were written to.
std::string suite_report(const std::string& model_name, const Facts& facts, const std::vector<Result>& results);

}  // namespace ffmem::tools
