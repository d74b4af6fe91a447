// Tables, figures and the result's files.
#include "tools/experiments/result.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "loaders/atomic_file.hpp"
#include "loaders/mapped_file.hpp"
#include "ops/error.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tools/experiments/suite_report.hpp"
#include "tools/report/page.hpp"

using namespace ffmem;
using namespace ffmem::tools;
using Json = nlohmann::json;

namespace {

Figure lines() {
  return {.name = "f",
          .title = "Shares \"quoted\"",
          .x_label = "layer",
          .y_label = "share",
          .kind = Figure::Kind::lines,
          .series = {"one"},
          .data = {.columns = {"layer", "one", "one low", "one high"},
                   .rows = {{count_cell(1), 0.25, 0.2, 0.3}, {count_cell(2), 0.5, 0.4, 0.6}}}};
}

bool has_gnuplot() {
  static const bool has = std::system("gnuplot --version >/dev/null 2>&1") == 0;
  return has;
}

/// Draws the figure, which must become two files that are not empty where there is gnuplot, and none where there is not.
bool check_drawn(const std::filesystem::path& folder, const Figure& figure) {
  const bool drawn = draw_figure(folder, figure);
  REQUIRE(drawn == has_gnuplot());
  for (const char* type : {".svg", ".png"}) {
    const std::filesystem::path file = folder / (figure.name + type);
    CAPTURE(type);
    CHECK(std::filesystem::exists(file) == drawn);
    if (drawn) CHECK(std::filesystem::file_size(file) > 0);
  }
  return drawn;
}

}  // namespace

TEST_CASE("csv: quotes what needs it, leaves NaN empty, keeps every digit") {
  const Table table{.name = "t",
                    .columns = {"a,b", "number"},
                    .rows = {{std::string("say \"hi\"\n"), 0.1},
                             {std::string("bad \xFF"), std::numeric_limits<double>::quiet_NaN()},
                             {count_cell(3), 1e-300}}};
  CHECK(to_csv(table) == "\"a,b\",number\n\"say \"\"hi\"\"\n\",0.1\nbad \uFFFD,\n3,1e-300\n");
}

TEST_CASE("csv: what would ring or move a terminal is written as its bytes, and other text as it is") {
  const Table table{.columns = {"token"},
                    .rows = {{std::string("\x1B[2J\a")}, {std::string("\u009B")}, {std::string("\u200C\t\u00A0")}}};
  CHECK(to_csv(table) == "token\n\\x1B[2J\\x07\n\\xC2\\x9B\n\u200C\t\u00A0\n");
}

TEST_CASE("figure: a series without one interval has a line and no band, which gnuplot would warn of") {
  Figure figure = lines();
  CHECK(contains(gnuplot_script(figure), "filledcurves"));
  for (std::vector<Cell>& row : figure.data.rows) row[2] = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(contains(gnuplot_script(figure), "filledcurves"));
  CHECK(contains(gnuplot_script(figure), "linespoints"));
}

TEST_CASE("figure: the script quotes its texts and names the files beside it") {
  const std::string script = gnuplot_script(lines());
  CHECK(contains(script, "\"Shares \\\"quoted\\\"\""));
  CHECK(contains(script, "f.csv"));
  CHECK(contains(script, "set terminal svg"));
  CHECK(contains(script, "pngcairo"));
}

TEST_CASE("figure: every kind is drawn, or left as numbers and script where there is no gnuplot") {
  const TemporaryFolder folder;
  Figure boxes{
      .name = "boxes",
      .kind = Figure::Kind::boxes,
      .data = {.columns = {"layer", "low", "q1", "median", "q3", "high"}, .rows = {{count_cell(1), 0.1, 0.2, 0.3, 0.4, 0.5}}}};
  boxes.paper = Table{.columns = {"layer", "median"}, .rows = {{1.0, 0.35}}};
  Figure bars = lines();
  bars.name = "bars";
  bars.kind = Figure::Kind::bars;
  const Figure stacked{.name = "stacked",
                       .kind = Figure::Kind::stacked,
                       .series = {"a", "b"},
                       .data = {.columns = {"layer", "a", "b"}, .rows = {{count_cell(1), 0.4, 0.6}}}};
  for (const Figure& figure : {lines(), boxes, bars, stacked}) {
    check_drawn(folder.path(), figure);
    for (const char* type : {".csv", ".gp"}) CHECK(std::filesystem::exists(folder.path() / (figure.name + type)));
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      CHECK_FALSE(contains(entry.path().filename().string(), ".tmp."));
  }
  CHECK(std::filesystem::exists(folder.path() / "boxes.paper.csv"));
}

TEST_CASE("figure: the user's own gnuplot settings take no part in it") {
  const TemporaryFolder folder;
  folder.write(".gnuplot", "exit status 3\n");
  const char* const home = std::getenv("HOME");
  const std::string old = home == nullptr ? "" : home;
  ::setenv("HOME", folder.path().c_str(), 1);
  check_drawn(folder.path(), lines());
  home == nullptr ? ::unsetenv("HOME") : ::setenv("HOME", old.c_str(), 1);
}

TEST_CASE("figure: without one point it is drawn too, and says that there is nothing to draw") {
  const TemporaryFolder folder;
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  Figure nan = lines();
  nan.data.rows = {{count_cell(1), kNone, kNone, kNone}};
  Figure empty = lines();
  empty.data.rows.clear();
  Figure zeros = lines();
  zeros.data.rows = {{count_cell(1), 0.0, 0.0, 0.0}};
  zeros.log_y = true;
  Figure nowhere = lines();
  nowhere.data.rows = {{kNone, 0.5, 0.4, 0.6}};
  for (Figure figure : {nan, empty, zeros, nowhere}) {
    for (const auto kind : {Figure::Kind::lines, Figure::Kind::bars}) {
      figure.kind = kind;
      CHECK(contains(gnuplot_script(figure), "nothing to draw"));
      if (check_drawn(folder.path(), figure)) CHECK(contains(read_text_file(folder.path() / "f.svg"), "nothing to draw"));
    }
  }
  nan.paper = Table{.columns = {"layer", "one"}, .rows = {{1.0, 0.35}}};
  CHECK_FALSE(contains(gnuplot_script(nan), "nothing to draw"));
  check_drawn(folder.path(), nan);
}

TEST_CASE("figure: the paper's layers lie on a comparable model's, first on first and last on last") {
  CHECK(paper_layer(1, 12) == 1.0);
  CHECK(paper_layer(16, 12) == 12.0);
  CHECK(paper_layer(16, 16) == 16.0);
  CHECK_FALSE(paper_layer(1, 3).has_value());
}

TEST_CASE("result: its folder holds tables, materials and a JSON object that names them") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "some-experiment");
  const Result result{.name = "some-experiment",
                      .title = "Title",
                      .settings = {{"lens", "raw"}},
                      .estimates = {{"share", {.value = 0.5, .low = 0.4, .high = 0.6, .n = 10}}},
                      .tables = {{.name = "t", .columns = {"a"}, .rows = {{count_cell(1)}}}},
                      .materials = {{.name = "m.txt", .content = "text"}}};
  write_file(folder.path() / "some-experiment" / "manifest.json", "of another run");
  write_result(folder.path(), result);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "some-experiment" / "manifest.json"));
  const auto json = Json::parse(read_text_file(folder.path() / "some-experiment" / "result.json"));
  CHECK(json["settings"]["lens"] == "raw");
  CHECK(json["estimates"]["share"]["n"] == 10);
  CHECK(json["files"] == Json::array({"m.txt", "t.csv"}));
  CHECK(read_text_file(folder.path() / "some-experiment" / "t.csv") == "a\n1\n");
  CHECK(read_text_file(folder.path() / "some-experiment" / "m.txt") == "text");
}

TEST_CASE("result: what another run left beside it goes, but for what is kept and what lies elsewhere") {
  const TemporaryFolder folder;
  const auto in_folder = [&](const char* name) { return folder.path() / "r" / name; };
  Result first{.name = "r",
               .tables = {{.name = "both", .columns = {"a"}}, {.name = "gone", .columns = {"a"}}},
               .figures = {lines()},
               .materials = {{.name = "sheet.csv", .content = "filled in"}, {.name = "old.txt", .content = "text"}}};
  first.figures[0].paper = Table{.columns = {"layer", "one"}, .rows = {{1.0, 0.35}}};
  write_result(folder.path(), first);
  CHECK(std::filesystem::exists(in_folder("f.paper.csv")));
  write_file(in_folder("notes.txt"), "a person's own");

  Result second{.name = "r", .tables = {{.name = "both", .columns = {"b"}}}, .figures = {lines()}, .kept = {"sheet.csv"}};
  const std::string named = read_text_file(in_folder("result.json"));
  write_result(folder.path(), second, FormerFiles::stay);
  for (const char* name : {"gone.csv", "old.txt", "f.paper.csv"}) CHECK(std::filesystem::exists(in_folder(name)));
  write_file(in_folder("result.json"), named);
  write_result(folder.path(), second);
  for (const char* name : {"gone.csv", "old.txt", "f.paper.csv"}) CHECK_FALSE(std::filesystem::exists(in_folder(name)));
  for (const char* name : {"both.csv", "f.csv", "f.gp", "sheet.csv", "notes.txt"})
    CHECK(std::filesystem::exists(in_folder(name)));
  CHECK(std::filesystem::exists(in_folder("f.svg")) == has_gnuplot());
  const Json files = Json::parse(read_text_file(in_folder("result.json")))["files"];
  CHECK(files == (has_gnuplot() ? Json{"both.csv", "f.csv", "f.gp", "f.png", "f.svg"} : Json{"both.csv", "f.csv", "f.gp"}));

  second.figures.clear();
  write_result(folder.path(), second);
  for (const char* name : {"f.csv", "f.gp", "f.svg", "f.png"}) CHECK_FALSE(std::filesystem::exists(in_folder(name)));
  CHECK(std::filesystem::exists(in_folder("both.csv")));

  const std::string outside = folder.write("outside.txt", "another's");
  std::filesystem::create_symlink(outside, in_folder("link.txt"));
  std::filesystem::create_directory(in_folder("folder"));
  write_file(in_folder("result.json"), R"({"files": ["../outside.txt", "link.txt", "folder", "..", "", "both.csv"]})");
  second.tables.clear();
  write_result(folder.path(), second);
  CHECK(read_text_file(outside) == "another's");
  CHECK(std::filesystem::is_symlink(in_folder("link.txt")));
  CHECK(std::filesystem::exists(in_folder("folder")));
  CHECK_FALSE(std::filesystem::exists(in_folder("both.csv")));

  for (const char* broken : {"{", "[]", R"({"files": 3})", R"({"files": [3]})"}) {
    write_file(in_folder("result.json"), broken);
    write_result(folder.path(), second);
    CHECK(contains(read_text_file(in_folder("result.json")), "\"name\": \"r\""));
  }
}

TEST_CASE("result: its figures tell their own points' least and largest sample and the seed, where there are both") {
  const TemporaryFolder folder;
  Result result{.name = "r", .settings = {{"seed", "7"}}, .estimates = {{"over all layers", {.n = 300}}}, .figures = {lines()}};
  CHECK(write_result(folder.path(), result).figures[0].note.empty());
  Samples& samples = result.figures[0].samples;
  samples.of = "keys";
  samples.add(10);
  CHECK(write_result(folder.path(), result).figures[0].note == "Each point: 10 keys; seed 7");
  for (const std::size_t n : {0, 25, 12}) samples.add(n);
  CHECK(write_result(folder.path(), result).figures[0].note == "Each point: 10 to 25 keys; seed 7");
  CHECK(contains(read_text_file(folder.path() / "r" / "f.gp"), "\"Each point: 10 to 25 keys; seed 7\""));
  result.figures[0].kind = Figure::Kind::bars;
  CHECK(write_result(folder.path(), result).figures[0].note == "Each bar: 10 to 25 keys; seed 7");
  result.settings.clear();
  CHECK(write_result(folder.path(), result).figures[0].note.empty());
}

TEST_CASE("report: texts are escaped, NaN is empty, and long tables say that the file has more") {
  Result result{.name = "r", .title = "<b>", .paper_found = "a & b", .run_found = "c"};
  Table table{.name = "t", .caption = "rows", .columns = {"x"}};
  for (std::size_t i = 0; i < 100; ++i) table.rows.push_back({std::numeric_limits<double>::quiet_NaN()});
  result.tables.push_back(table);
  const std::string page = suite_report("model", {{"Model", "x<y"}}, {result});
  CHECK(contains(page, "&lt;b&gt;"));
  CHECK(contains(page, "a &amp; b"));
  CHECK(contains(page, "x&lt;y"));
  CHECK(contains(page, "of 100 rows"));
  CHECK_FALSE(contains(page, "nan"));
}

TEST_CASE("html_text: mark-up, controls, marks of direction and what has no width are shown, not obeyed") {
  CHECK(html_text("a <b> & \"c\"") == "a &lt;b&gt; &amp; &quot;c&quot;");
  CHECK(html_text("\n\x1B\u0085") == "\\n\\x1B\\xC2\\x85");
  CHECK(html_text("a\u202Eb\u2066c\uFEFF") == "a\\xE2\\x80\\xAEb\\xE2\\x81\\xA6c\\xEF\\xBB\\xBF");
  CHECK(html_text("\u4E2D \u00e9 \xFF") == "\u4E2D \u00e9 \\xFF");
}
