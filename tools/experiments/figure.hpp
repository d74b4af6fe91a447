// Figures, drawn by gnuplot: beside each NAME.svg and NAME.png lie NAME.csv with its numbers and NAME.gp, which draws it again
// (`gnuplot NAME.gp` in that folder).
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/experiments/table.hpp"

namespace ffmem::tools {

/// How many things each of a figure's points, bars or boxes is computed from.
struct Samples {
  std::string of{};       // what they are: "prefixes"
  std::size_t least = 0;  // of all points
  std::size_t most = 0;   // 0: there is no point

  /// A point's; one of nothing is not drawn and does not count.
  void add(std::size_t n);
};

struct Figure {
  /// What the columns of `data` are. The first is the x axis (for the paper's figures the layer, from 1).
  enum class Kind {
    lines,    // for each series its value, lower and upper end of the interval (NaN: none): 1 + 3 * series columns
    bars,     // the same as grouped bars with error bars
    boxes,    // low, quartile1, median, quartile3, high (statistics.hpp): 1 + 5 columns
    stacked,  // for each series its share, drawn on top of those before it: 1 + series columns
  };
  std::string name{};  // of its files
  std::string title{};
  Samples samples{};
  std::string note{};  // small, above the plot: the samples and the seed, by write_result
  std::string x_label{};
  std::string y_label{};
  Kind kind = Kind::lines;
  std::vector<std::string> series{};  // for the key; empty for boxes
  Table data{};
  /// The paper's own values: x, then one column a series (boxes: the median alone), NaN where it gives none. Drawn as hollow
  /// points. Empty where it has none or the model's depth is not comparable.
  std::optional<Table> paper{};
  std::string paper_label = "the paper's model";  // in the key, where there is one series
  bool log_y = false;
  std::optional<double> y_max{};  // a share's axis: it begins at 0
};

/// The paper's layer (1 .. 16) on the axis of a model of n_layers, or nothing if that depth is not comparable (8 to 32).
std::optional<double> paper_layer(double layer, std::size_t n_layers);

/// The script NAME.gp; it reads NAME.csv (and NAME.paper.csv) and draws NAME.svg and NAME.png. Of a figure without one point
/// it draws frame and title, and says so.
std::string gnuplot_script(const Figure& figure);

/// Writes CSV and script, and draws. Returns false where there is no gnuplot: then only CSV and script are there.
/// Throws file_unwritable, figure_failed with gnuplot's message, and interrupted.
bool draw_figure(const std::filesystem::path& folder, const Figure& figure);

}  // namespace ffmem::tools
