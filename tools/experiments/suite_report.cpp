#include "tools/experiments/suite_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "tools/report/page.hpp"
#include "tools/report/style.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kShownRows = 40;  // of a table; the CSV has all

constexpr std::string_view kReportStyle = R"css(
figure { margin: 1rem 0; } figure img { max-width: 100%; width: 48rem; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
figcaption { color: var(--soft); font-size: .87rem; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--soft); }
.wide { overflow-x: auto; } .data { font-size: .84rem; font-variant-numeric: tabular-nums; }
.data td, .data th { border-bottom: 1px solid var(--line); white-space: nowrap; max-width: 36rem; overflow: hidden; text-overflow: ellipsis; }
.said { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1.5rem; max-width: 76rem; }
.said h3 { font-size: .95rem; margin: 0; color: var(--soft); } .said p { margin: .2rem 0; }
nav a { margin-right: 1rem; }
)css";

/// A cell for a reader: four significant digits.
std::string short_text(const Cell& cell) {
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr) return html_text(cell_text(cell));
  return std::isnan(*number) ? "" : fmt::format("{:.4g}", *number);
}

/// The unit, with a link to its memory's page, which counts layers from 0.
std::string memory_link(const Cell& layer, const Cell& unit) {
  const auto* from_1 = std::get_if<std::int64_t>(&layer);
  if (from_1 == nullptr) return short_text(unit);
  return fmt::format("<a href=\"memories/index.html#m/{}/{}\">{}</a>", *from_1 - 1, cell_text(unit), short_text(unit));
}

void append_table(const std::string& folder, const Table& table, std::string& out) {
  const std::size_t n_shown = std::min(kShownRows, table.rows.size());
  fmt::format_to(std::back_inserter(out), "<details><summary>{}</summary>\n<p><a href=\"{}/{}.csv\">{}.csv</a>{}</p>\n",
                 html_text(table.caption), folder, table.name, table.name,
                 n_shown < table.rows.size() ? fmt::format(", the first {} of {} rows", n_shown, table.rows.size()) : "");
  out += "<div class=\"wide\"><table class=\"data\"><tr>";
  for (const std::string& column : table.columns) out += "<th>" + html_text(column) + "</th>";
  out += "</tr>\n";
  const auto place_of = [&](const char* column) {
    return static_cast<std::size_t>(std::ranges::find(table.columns, column) - table.columns.begin());
  };
  const std::size_t layer = place_of("layer");
  const std::size_t unit = place_of("unit");
  for (std::size_t r = 0; r < n_shown; ++r) {
    out += "<tr>";
    const std::vector<Cell>& row = table.rows[r];
    for (std::size_t c = 0; c < row.size(); ++c) {
      const bool is_text = std::holds_alternative<std::string>(row[c]);
      const bool names_memory = c == unit && layer < row.size();
      const std::string text = names_memory ? memory_link(row[layer], row[unit]) : short_text(row[c]);
      out += (is_text ? "<td>" : "<td class=\"n\">") + text + "</td>";
    }
    out += "</tr>\n";
  }
  out += "</table></div></details>\n";
}

void append_figure(const Result& result, const Figure& figure, std::string& out) {
  const std::string& folder = result.name;
  if (!result.figures_drawn) {
    fmt::format_to(std::back_inserter(out),
                   "<p>{2}, not drawn, as gnuplot was not there: <a href=\"{0}/{1}.csv\">numbers</a>, <a "
                   "href=\"{0}/{1}.gp\">gnuplot script</a></p>\n",
                   folder, figure.name, html_text(figure.title));
    return;
  }
  fmt::format_to(
      std::back_inserter(out),
      "<figure><img src=\"{0}/{1}.svg\" alt=\"{2}\" loading=\"lazy\">\n<figcaption>{3}<a href=\"{0}/{1}.csv\">numbers</a>, "
      "<a href=\"{0}/{1}.gp\">gnuplot script</a>, <a href=\"{0}/{1}.png\">PNG</a></figcaption></figure>\n",
      folder, figure.name, html_text(figure.title), figure.note.empty() ? "" : html_text(figure.note) + ". ");
}

void append_result(const Result& result, std::string& out) {
  fmt::format_to(std::back_inserter(out), "<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"soft\">{}</p>\n", result.name,
                 html_text(result.title), html_text(result.paper_place));
  fmt::format_to(std::back_inserter(out),
                 "<div class=\"said\"><div><h3>The paper found, on its model</h3><p>{}</p></div>\n<div><h3>This run found</h3>"
                 "<p>{}</p></div></div>\n",
                 html_text(result.paper_found), html_text(result.run_found));
  for (const Figure& figure : result.figures) append_figure(result, figure, out);
  for (const Table& table : result.tables) append_table(result.name, table, out);
  for (const Material& material : result.materials) {
    fmt::format_to(std::back_inserter(out), "<p><a href=\"{0}/{1}\">{1}</a>: {2}</p>\n", result.name, html_text(material.name),
                   html_text(material.caption));
  }
  out += "<details><summary>settings</summary>\n";
  out += facts_html(result.settings);
  out += "</details></section>\n";
}

}  // namespace

std::string suite_report(const std::string& model_name, const Facts& facts, const std::vector<Result>& results) {
  const std::string title = "Feed-forward memories of " + html_text(model_name);
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">\n";
  out.append("<title>")
      .append(title)
      .append("</title><style>")
      .append(kStyle)
      .append(kReportStyle)
      .append("</style></head><body>\n");
  out += "<h1>" + title + "</h1>\n";
  out +=
      "<p>Geva, Schuster, Berant and Levy (\"Transformer Feed-Forward Layers Are Key-Value Memories\", EMNLP 2021) read every "
      "feed-forward layer as a set of memories: a key that fires on patterns in the text, and a value that raises the "
      "scores of the words likely to come next. These are their experiments on another model. Layers count from 1 as in the "
      "paper (commands and the memories' pages count from 0; a unit in a table leads to its page); "
      "shaded bands and error bars are 95 % bootstrap intervals (of another key's value: the middle 95 % of its permutations; "
      "of a share of "
      "none or all: the exact limits of Clopper and Pearson); "
      "hollow marks are what the paper reports of its own model "
      "(16 layers, its first and last laid on this model's).</p>\n";
  out += facts_html(facts);
  out +=
      "<p><a href=\"memories/index.html\">A page for every memory</a>, searchable by token. <a "
      "href=\"manifest.json\">Manifest</a>. "
      "Arrays (safetensors): <a href=\"data/\">data/</a>.</p>\n<nav>";
  for (const Result& result : results) {
    fmt::format_to(std::back_inserter(out), "<a href=\"#{0}\">{0}</a>", result.name);
  }
  out += "</nav>\n";
  for (const Result& result : results) append_result(result, out);
  return out + "</body></html>\n";
}

}  // namespace ffmem::tools
