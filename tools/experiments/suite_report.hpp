// The suite's report: report.html, which opens from disk without a server or network, and manifest.json.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tools/experiments/result.hpp"

namespace ffmem::tools {

/// What was run on what, for a reader: name and value.
using Facts = std::vector<std::pair<std::string, std::string>>;

/// The page. Figures, tables and data are links into the folder that the results were written to.
std::string suite_report(const std::string& model_name, const Facts& facts, const std::vector<Result>& results);

}  // namespace ffmem::tools
