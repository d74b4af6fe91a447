// What an experiment leaves: numbers, tables, figures, and the sentences that say what they show.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tools/experiments/figure.hpp"
#include "tools/experiments/statistics.hpp"
#include "tools/experiments/table.hpp"

namespace ffmem::tools {

/// A file of another form than a table (JSONL, text to annotate) beside the result.
struct Material {
  std::string name{};  // of the file
  std::string caption{};
  std::string content{};
};

struct Result {
  std::string name{};                                           // of the experiment and its folder
  std::string title{};                                          // what it measures, for a reader
  std::string paper_place{};                                    // "section 3.2, Figure 3"
  std::string paper_found{};                                    // what the paper reports on its own model, in a paragraph
  std::string run_found{};                                      // what this run found: sentences made of its numbers alone
  std::vector<std::pair<std::string, std::string>> settings{};  // every choice that bears on the numbers: "lens" = "raw"
  std::vector<std::pair<std::string, Estimate>> estimates{};    // the numbers behind run_found
  std::vector<Table> tables{};
  std::vector<Figure> figures{};
  std::vector<Material> materials{};
  std::vector<std::string> kept{};  // files of its folder that people have worked on: not this run's, and left there
  bool figures_drawn = true;        // false: written without gnuplot, as data and scripts
};

/// The result as one JSON object: name, title, settings, estimates with n and interval, names of the files.
std::string to_json_text(const Result& result);

/// What becomes of an earlier run's files: they stay where a suite's report shows them.
enum class FormerFiles { go, stay };

/// Writes OUT/NAME/: each table's CSV, each figure (tools/experiments/figure.hpp) with its samples and the seed, materials and,
/// last, result.json. Of another run that lies there the manifest goes, and unless they are to stay the files that its
/// result.json names and this run neither writes nor keeps. Returns the result, which says whether its figures were drawn.
/// Throws file_unwritable, figure_failed.
Result write_result(const std::filesystem::path& out, Result result, FormerFiles former = FormerFiles::go);

}  // namespace ffmem::tools
