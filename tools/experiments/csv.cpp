#include "tools/experiments/csv.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "tools/numbers.hpp"
#include "tools/strip.hpp"

namespace ffmem::tools {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  }

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row{.line = line_};
      do row.fields.push_back(field());
      while (take(','));
      end_line();
      // A spreadsheet writes a row that was emptied as commas alone.
      if (!std::ranges::all_of(row.fields, &std::string::empty)) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string field() {
    if (take('"')) return quoted();
    const std::size_t end = std::min(text_.find_first_of(",\r\n\"", at_), text_.size());
    const std::string_view field = text_.substr(at_, end - at_);
    at_ = end;
    if (at_ < text_.size() && text_[at_] == '"') fail("a quote inside a field that does not begin with one");
    return std::string(field);
  }

  /// Behind the opening quote.
  std::string quoted() {
    const std::size_t opened = line_;
    std::string field;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"' && !take('"')) return field;
      line_ += c == '\n' ? 1 : 0;
      field += c;
    }
    line_ = opened;
    fail("a quote that is not closed");
  }

  void end_line() {
    const bool carriage_return = take('\r');
    if (!take('\n')) {
      if (carriage_return) fail("a carriage return without a line feed behind it");
      if (at_ < text_.size()) fail("text behind a closing quote");
    }
    ++line_;
  }

  [[noreturn]] void fail(std::string_view what) const {
    ffmem::fail(ErrorCode::argument_invalid, name_, ": line ", line_, ": expected CSV, found ", what);
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, const std::string& name) { return Parser(text, name).rows(); }

CsvTable::CsvTable(std::filesystem::path path, std::vector<std::string> columns)
    : path_(std::move(path)), columns_(std::move(columns)) {
  const std::string text = read_text_file(path_);
  if (valid_utf8_prefix(text) != text.size()) {
    fail(ErrorCode::text_not_utf8, path_.string(), ": expected UTF-8 (in a spreadsheet: save as CSV UTF-8)");
  }
  rows_ = parse_csv(text, path_.string());
  if (rows_.empty())
    fail(ErrorCode::argument_invalid, path_.string(), ": expected a line of column names, found an empty file");
  const CsvRow header = rows_.front();
  rows_.erase(rows_.begin());
  for (const std::string& column : columns_) {
    const auto is_column = [&](const std::string& name) { return stripped_as_in_python(name) == column; };
    const auto found = std::ranges::find_if(header.fields, is_column);
    const auto n = std::ranges::count_if(header.fields, is_column);
    if (n != 1) {
      fail(ErrorCode::argument_invalid, path_.string(), ": line ", header.line, ": expected one column '", column, "', found ",
           n);
    }
    place_.push_back(static_cast<std::size_t>(found - header.fields.begin()));
  }
  for (const CsvRow& row : rows_) {
    if (row.fields.size() > header.fields.size()) {
      fail(ErrorCode::argument_invalid, path_.string(), ": line ", row.line, ": expected ", header.fields.size(),
           " fields, as in the header, found ", row.fields.size());
    }
  }
}

std::string_view CsvTable::field(std::size_t row, std::size_t column) const {
  const std::vector<std::string>& fields = rows_[row].fields;
  return place_[column] < fields.size() ? stripped_as_in_python(fields[place_[column]]) : std::string_view{};
}

std::size_t CsvTable::number(std::size_t row, std::size_t column) const {
  const std::optional<std::size_t> number = to_number<std::size_t>(field(row, column));
  if (!number) refuse(row, column, "a whole number");
  return *number;
}

void CsvTable::refuse(std::size_t row, std::size_t column, std::string_view expected) const {
  fail(ErrorCode::argument_invalid, path_.string(), ": line ", rows_[row].line, ", column '", columns_[column], "': expected ",
       expected, ", found '", field(row, column), "'");
}

}  // namespace ffmem::tools
