#include "tools/experiments/csv.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tools/experiments/table.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

std::vector<std::vector<std::string>> fields(const std::string& text) {
  std::vector<std::vector<std::string>> rows;
  for (const CsvRow& row : parse_csv(text, "x.csv")) rows.push_back(row.fields);
  return rows;
}

using Rows = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("csv: quotes, commas, line ends of both kinds, and no line end at the end") {
  CHECK(fields("a,b\n1,2\n") == Rows{{"a", "b"}, {"1", "2"}});
  CHECK(fields("a,b\r\n1,2") == Rows{{"a", "b"}, {"1", "2"}});
  CHECK(fields("\"a,\n\"\"b\",c\n") == Rows{{"a,\n\"b", "c"}});
  CHECK(fields("\xEF\xBB\xBF"
               "a\n") == Rows{{"a"}});
  CHECK(fields("a\n\n\nb\n") == Rows{{"a"}, {"b"}});
  CHECK(fields("\"\"\n").empty());
  CHECK(fields("a,b\n,\n\"\",\n1,\n") == Rows{{"a", "b"}, {"1", ""}});  // emptied in a spreadsheet
  CHECK(fields("").empty());
}

TEST_CASE("csv: rows know their lines, also behind a field of several") {
  const auto rows = parse_csv("a\n\"b\nc\"\n\nd\n", "x.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[1].line == 2);
  CHECK(rows[2].line == 5);
}

TEST_CASE("csv: what is no CSV is named by line") {
  const auto error = [](const std::string& text) { return std::string(thrown([&] { parse_csv(text, "x.csv"); }).what()); };
  CHECK(error("a\nb\"c\n") == "x.csv: line 2: expected CSV, found a quote inside a field that does not begin with one");
  CHECK(error("a\n\"b\nc") == "x.csv: line 2: expected CSV, found a quote that is not closed");
  CHECK(error("\"a\"b\n") == "x.csv: line 1: expected CSV, found text behind a closing quote");
  CHECK(error("a\rb\n") == "x.csv: line 1: expected CSV, found a carriage return without a line feed behind it");
  CHECK(error("a\r") == "x.csv: line 1: expected CSV, found a carriage return without a line feed behind it");
}

TEST_CASE("csv: columns are found by name, and each error names file, line and column") {
  const TemporaryFolder folder;
  const auto path = folder.write("x.csv", "y, x \n1,2\n3\n");
  const CsvTable table(path, {"x", "y"});
  CHECK(table.n_rows() == 2);
  CHECK(table.number(0, 0) == 2);
  CHECK(table.number(0, 1) == 1);
  CHECK(table.field(1, 0).empty());
  CHECK(thrown([&] { static_cast<void>(table.number(1, 0)); }).what() ==
        path.string() + ": line 3, column 'x': expected a whole number, found ''");
  CHECK(contains(thrown([&] { CsvTable(path, {"z"}); }).what(), "line 1: expected one column 'z', found 0"));
  CHECK(contains(thrown([&] { CsvTable(folder.write("long", "a\n1,2\n"), {"a"}); }).what(), "line 2: expected 1 fields"));
  CHECK(contains(thrown([&] { CsvTable(folder.write("empty", ""), {"a"}); }).what(), "found an empty file"));
  CHECK(thrown([&] { CsvTable(folder.write("latin1", "\xE4\n"), {"a"}); }).code() == ErrorCode::text_not_utf8);
  CHECK(thrown([&] { CsvTable(folder.path() / "none", {"a"}); }).code() == ErrorCode::file_not_found);
}

TEST_CASE("csv: what to_csv writes is read back") {
  const Table table{.columns = {"a", "b"}, .rows = {{"x,\"y\"\r\nz", "= 1"}, {"", " w"}}};
  CHECK(fields(to_csv(table)) == Rows{{"a", "b"}, {"x,\"y\"\r\nz", "= 1"}, {"", " w"}});
}
