#include "tools/experiments/table.hpp"

#include <fmt/format.h>

#include <cmath>

#include "loaders/utf8.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

void append_field(std::string_view text, std::string& out) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

std::string cell_text(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return text_without_controls(repair_utf8(*text));
  if (const auto* number = std::get_if<double>(&cell)) return std::isnan(*number) ? "" : fmt::format("{}", *number);
  return std::to_string(std::get<std::int64_t>(cell));
}

std::string to_csv(const Table& table) {
  std::string out;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (c > 0) out += ',';
    append_field(table.columns[c], out);
  }
  out += '\n';
  for (const std::vector<Cell>& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c > 0) out += ',';
      append_field(cell_text(row[c]), out);
    }
    out += '\n';
  }
  return out;
}

}  // namespace ffmem::tools
