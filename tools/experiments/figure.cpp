#include "tools/experiments/figure.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "tools/interrupt.hpp"

namespace ffmem::tools {
namespace {

/// Okabe and Ito's palette: told apart by readers with any of the common colour blindnesses.
constexpr std::array<std::string_view, 7> kColours{"#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000"};
constexpr std::array<int, 7> kMarks{7, 5, 9, 11, 13, 7, 5};        // filled circle, square, triangles, diamond
constexpr std::array<int, 7> kHollowMarks{6, 4, 8, 10, 12, 6, 4};  // the same, for the paper's values

std::string_view colour(std::size_t series) { return kColours[series % kColours.size()]; }

/// Every layer has its tick where there are at most so many.
constexpr std::size_t kTicks = 24;

/// A text in gnuplot's double quotes.
std::string gnuplot_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

using Plots = std::vector<std::string>;

bool is_drawn(const Cell& cell, bool log_y) {
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr) return std::holds_alternative<std::int64_t>(cell);
  return std::isfinite(*number) && (!log_y || *number > 0.0);
}

/// Whether a row has an interval of the series, of which gnuplot would draw the band.
bool has_interval(const Figure& figure, std::size_t series) {
  return std::ranges::any_of(figure.data.rows, [&](const std::vector<Cell>& row) {
    return is_drawn(row[2 + 3 * series], figure.log_y) && is_drawn(row[3 + 3 * series], figure.log_y);
  });
}

void plot_lines(const Figure& figure, Plots& plots) {
  for (std::size_t s = 0; s < figure.series.size(); ++s) {
    if (!has_interval(figure, s)) continue;
    plots.push_back(
        fmt::format("data using 1:{}:{} with filledcurves fillcolor rgb '{}' fillstyle transparent solid 0.2 notitle",
                    3 + 3 * s, 4 + 3 * s, colour(s)));
  }
  for (std::size_t s = 0; s < figure.series.size(); ++s) {
    plots.push_back(
        fmt::format("data using 1:{} with linespoints linecolor rgb '{}' linewidth 2 pointtype {} pointsize 0.8 title {}",
                    2 + 3 * s, colour(s), kMarks[s % kMarks.size()], gnuplot_text(figure.series[s])));
  }
}

void plot_bars(const Figure& figure, Plots& plots) {
  const double width = 0.8 / static_cast<double>(figure.series.size());
  for (std::size_t s = 0; s < figure.series.size(); ++s) {
    const double shift = (static_cast<double>(s) + 0.5) * width - 0.4;
    plots.push_back(
        fmt::format("data using ($1+({:.4f})):{}:({:.4f}) with boxes fillcolor rgb '{}' fillstyle solid 0.75 border title {}",
                    shift, 2 + 3 * s, width, colour(s), gnuplot_text(figure.series[s])));
    plots.push_back(fmt::format(
        "data using ($1+({:.4f})):{}:{}:{}:({:.4f}) with boxerrorbars linecolor rgb '#333333' fillstyle empty border notitle",
        shift, 2 + 3 * s, 3 + 3 * s, 4 + 3 * s, width));
  }
}

void plot_boxes(const Figure&, Plots& plots) {
  plots.push_back(
      fmt::format("data using 1:3:2:6:5:(0.6) with candlesticks whiskerbars 0.5 linecolor rgb '{0}' fillcolor rgb '{0}' "
                  "fillstyle solid 0.25 border notitle",
                  colour(0)));
  plots.push_back("data using ($1-0.3):4:(0.6):(0) with vectors nohead linecolor rgb '#000000' linewidth 2.5 notitle");
}

/// Each series as a box from the sum of those before it to the sum with it.
void plot_stacked(const Figure& figure, Plots& plots) {
  const auto sum_to = [](std::size_t last) {
    std::string sum = "(0";
    for (std::size_t s = 0; s < last; ++s) sum += fmt::format("+column({})", 2 + s);
    return sum + ")";
  };
  for (std::size_t s = 0; s < figure.series.size(); ++s) {
    plots.push_back(
        fmt::format("data using 1:{0}:($1-0.4):($1+0.4):{0}:{1} with boxxyerror fillcolor rgb '{2}' fillstyle solid 0.85 "
                    "border linecolor rgb '#ffffff' title {3}",
                    sum_to(s), sum_to(s + 1), colour(s), gnuplot_text(figure.series[s])));
  }
}

void plot_paper(const Figure& figure, Plots& plots) {
  if (!figure.paper) return;
  for (std::size_t c = 1; c < figure.paper->columns.size(); ++c) {
    const std::size_t s = c - 1;
    const std::string title = figure.series.size() > 1 ? figure.paper->columns[c] + " (paper)" : figure.paper_label;
    plots.push_back(fmt::format(
        "paper using 1:{} with points linecolor rgb '{}' linewidth 2 pointtype {} pointsize 1.4 title {}", c + 1,
        figure.series.size() > 1 ? colour(s) : colour(1), kHollowMarks[s % kHollowMarks.size()], gnuplot_text(title)));
  }
}

/// Whether some row has a place on both axes.
bool has_point(const Table& table, bool log_y) {
  return std::ranges::any_of(table.rows, [&](const std::vector<Cell>& row) {
    return is_drawn(row.front(), false) &&
           std::any_of(row.begin() + 1, row.end(), [&](const Cell& cell) { return is_drawn(cell, log_y); });
  });
}

/// The script's lines on the axes, and what it plots. A plot without one point would be an error of gnuplot's.
struct Drawing {
  std::string axes;
  std::string plots;
};

Drawing empty_drawing() {
  return {.axes =
              "set label 1 \"nothing to draw: no value is known\" at graph 0.5, graph 0.5 center noenhanced\n"
              "unset tics\nunset key\nset xrange [0:1]\nset yrange [0:1]\n",
          .plots = "NaN notitle"};
}

std::string join(const Plots& plots) {
  std::string text;
  for (const std::string& plot : plots) text += (text.empty() ? "" : ", \\\n     ") + plot;
  return text;
}

Drawing drawing_of(const Figure& figure) {
  if (!has_point(figure.data, figure.log_y) && !(figure.paper && has_point(*figure.paper, figure.log_y))) {
    return empty_drawing();
  }
  Plots plots;
  switch (figure.kind) {
    case Figure::Kind::lines:
      plot_lines(figure, plots);
      break;
    case Figure::Kind::bars:
      plot_bars(figure, plots);
      break;
    case Figure::Kind::boxes:
      plot_boxes(figure, plots);
      break;
    case Figure::Kind::stacked:
      plot_stacked(figure, plots);
      break;
  }
  plot_paper(figure, plots);
  const bool has_key = figure.series.size() > 1 || figure.paper;
  const bool few = figure.data.rows.size() <= kTicks && figure.x_label == "layer";
  return {.axes = fmt::format("set xtics {}\nset autoscale xfix\n{}\n{}set yrange [{}:{}]\nset offsets graph 0.03, "
                              "graph 0.03, {}, 0\n",
                              few ? "1" : "autofreq",
                              has_key ? "set key tmargin center horizontal Left reverse samplen 2" : "unset key",
                              figure.log_y ? "set logscale y\nset format y \"%g\"\n" : "",
                              figure.log_y || (figure.kind == Figure::Kind::lines && !figure.y_max) ? "" : "0",
                              figure.y_max ? fmt::format("{}", *figure.y_max) : "", figure.y_max ? "0" : "graph 0.05"),
          .plots = join(plots)};
}

/// Runs gnuplot on the script in `folder`, without the user's own settings (-d); its figures get `suffix`, its messages go to
/// `log`. Returns its exit code, 127 where it is not installed.
int run_gnuplot(const std::filesystem::path& folder, const std::string& script, const std::string& suffix,
                const std::string& log) {
  const std::string setting = "suffix='" + suffix + "'";
  const pid_t child = fork();
  if (child < 0) fail(ErrorCode::figure_failed, script, ": a process for gnuplot could not be started");
  if (child == 0) {
    if (chdir(folder.c_str()) != 0 || std::freopen(log.c_str(), "w", stderr) == nullptr) _exit(126);
    execlp("gnuplot", "gnuplot", "-d", "-e", setting.c_str(), script.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail(ErrorCode::figure_failed, script, ": gnuplot's end could not be waited for");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line) && line.find_first_not_of(" \t^") == std::string::npos) {
  }
  return line;
}

}  // namespace

void Samples::add(std::size_t n) {
  if (n == 0) return;
  least = most == 0 ? n : std::min(least, n);
  most = std::max(most, n);
}

std::optional<double> paper_layer(double layer, std::size_t n_layers) {
  if (n_layers < 8 || n_layers > 32) return std::nullopt;
  // The first layers lie on each other, and the last.
  return 1.0 + (layer - 1.0) * static_cast<double>(n_layers - 1) / 15.0;
}

std::string gnuplot_script(const Figure& figure) {
  const Drawing drawing = drawing_of(figure);
  return fmt::format(
      "# Draws {0}.svg and {0}.png from {0}.csv: gnuplot {0}.gp\n"
      "if (!exists(\"suffix\")) suffix = \"\"\n"
      "data = \"{0}.csv\"\npaper = \"{0}.paper.csv\"\n"
      "set datafile separator comma\nset datafile columnheaders\n"
      "set title {1} noenhanced\nset xlabel {2} noenhanced\nset ylabel {3} noenhanced\n"
      "set label 2 {6} at graph 1, graph 1.035 right font \",11\" textcolor rgb '#666666' noenhanced\n"
      "set grid ytics linecolor rgb '#dddddd'\nset border 3\nset tics nomirror out\n{4}"
      "set style fill solid\n"
      "set terminal svg size 780,460 font \"sans-serif,14\" background \"white\" noenhanced\n"
      "set output \"{0}.svg\".suffix\nplot {5}\n"
      "set terminal pngcairo size 1560,920 font \"sans,14\" fontscale 1.9 linewidth 2 pointscale 1.8 background \"white\" "
      "noenhanced\n"
      "set output \"{0}.png\".suffix\nreplot\nunset output\n",
      figure.name, gnuplot_text(figure.title), gnuplot_text(figure.x_label), gnuplot_text(figure.y_label), drawing.axes,
      drawing.plots, gnuplot_text(figure.note));
}

bool draw_figure(const std::filesystem::path& folder, const Figure& figure) {
  write_file(folder / (figure.name + ".csv"), to_csv(figure.data));
  if (figure.paper) write_file(folder / (figure.name + ".paper.csv"), to_csv(*figure.paper));
  write_file(folder / (figure.name + ".gp"), gnuplot_script(figure));
  const std::string suffix = ".tmp." + std::to_string(::getpid());
  const std::string log = figure.name + ".gnuplot" + suffix;
  const int code = run_gnuplot(folder, figure.name + ".gp", suffix, log);
  const std::string message = first_line(folder / log);
  remove_file(folder / log);
  const bool keep = code == 0 && !interrupted();
  for (const char* type : {".svg", ".png"}) {
    const std::filesystem::path drawn = folder / (figure.name + type);
    const std::filesystem::path aside = drawn.string() + suffix;
    if (keep) {
      std::filesystem::rename(aside, drawn);
    } else {
      remove_file(aside);
    }
  }
  throw_if_interrupted();  // Ctrl-C ends gnuplot too, which then failed for no other reason
  if (code != 0 && code != 127) {
    fail(ErrorCode::figure_failed, (folder / figure.name).string(), ".gp: gnuplot ended with ", code, ", saying: ", message);
  }
  return keep;
}

}  // namespace ffmem::tools
