// Reading CSV as RFC 4180 has it and spreadsheets write it: fields in quotes may hold commas, line ends and doubled quotes;
// lines end at "\n" or "\r\n"; a byte order mark at the start is skipped.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tools {

struct CsvRow {
  std::size_t line = 0;  // where it begins in the file, from 1
  std::vector<std::string> fields{};
};

/// Every row that is not an empty line, the header among them. `name` stands for the file in messages. Throws argument_invalid
/// for a quote that is not closed, or that stands inside a field or before more of it.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& name);

/// A CSV file whose first row names its columns, which may come in any order among others.
class CsvTable {
 public:
  /// Throws file_not_found, file_unreadable, text_not_utf8; argument_invalid as above, for a column that is not there or there
  /// twice, and for a row with more fields than the header. A row with fewer has empty ones at its end.
  CsvTable(std::filesystem::path path, std::vector<std::string> columns);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::size_t n_rows() const noexcept { return rows_.size(); }

  /// The field of a row in `columns`[column], without white space at its ends.
  std::string_view field(std::size_t row, std::size_t column) const;

  /// The same as a whole number from 0 on. Throws argument_invalid.
  std::size_t number(std::size_t row, std::size_t column) const;

  /// Throws argument_invalid: "FILE: line 3, column 'type': expected EXPECTED, found 'TEXT'".
  [[noreturn]] void refuse(std::size_t row, std::size_t column, std::string_view expected) const;

 private:
  std::filesystem::path path_;
  std::vector<std::string> columns_;
  std::vector<std::size_t> place_;  // of columns_ in the file
  std::vector<CsvRow> rows_;        // without the header
};

}  // namespace ffmem::tools
