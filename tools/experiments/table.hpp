// Results as tables: rows of texts and numbers, written as CSV (RFC 4180).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ffmem::tools {

/// A number that is NaN is written as an empty field.
using Cell = std::variant<std::string, double, std::int64_t>;

struct Table {
  std::string name{};     // of the file: NAME.csv
  std::string caption{};  // what a row is and where its numbers come from, for a reader
  std::vector<std::string> columns{};
  std::vector<std::vector<Cell>> rows{};  // each as long as columns
};

/// Counts and indices.
inline Cell count_cell(std::size_t n) { return static_cast<std::int64_t>(n); }

/// The shortest digits that give the same number back; "" for NaN.
std::string cell_text(const Cell& cell);

/// A header line and a line for each row. Texts are quoted where they hold a comma, a quote or a line end; bytes that are not
/// UTF-8 become U+FFFD, and a control character, but for tabs and line ends, its code: "\x1B".
std::string to_csv(const Table& table);

}  // namespace ffmem::tools
