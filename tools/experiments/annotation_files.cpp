#include "tools/experiments/annotation_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "ops/error.hpp"
#include "tools/experiments/csv.hpp"

namespace ffmem::tools {
namespace {

using KeyName = std::pair<std::size_t, std::size_t>;  // layer from 0, unit

class Reader {
 public:
  explicit Reader(const std::vector<KeyToAnnotate>& keys) : keys_(keys), found_(keys.size()), pattern_rows_(keys.size()) {
    for (std::size_t k = 0; k < keys.size(); ++k) {
      places_.emplace(KeyName{keys[k].layer, keys[k].unit}, k);
      found_[k].examples.resize(keys[k].examples.size());
    }
  }

  void read_patterns(const CsvTable& table) {
    enum Column : std::size_t { layer, unit, number, description, type };
    for (std::size_t row = 0; row < table.n_rows(); ++row) {
      const bool has_description = !table.field(row, description).empty();
      const bool has_type = !table.field(row, type).empty();
      if (!has_description && !has_type) continue;
      if (!has_description) table.refuse(row, description, "a description of the pattern, which has a type");
      const std::size_t k = key_place(table, row);
      const Pattern pattern{.number = table.number(row, number),
                            .description = std::string(table.field(row, description)),
                            .type = pattern_type(table, row, type)};
      std::vector<Pattern>& patterns = found_[k].patterns;
      const auto place = std::ranges::lower_bound(patterns, pattern.number, {}, &Pattern::number);
      if (place != patterns.end() && place->number == pattern.number) {
        table.refuse(row, number, "a number that no other pattern of the key has");
      }
      pattern_rows_[k].insert(pattern_rows_[k].begin() + (place - patterns.begin()), row);
      patterns.insert(place, pattern);
    }
  }

  void read_prefixes(const CsvTable& table) {
    enum Column : std::size_t { layer, unit, example, first_pattern };
    std::vector<std::vector<bool>> seen;
    for (const KeyToAnnotate& key : keys_) seen.emplace_back(key.examples.size(), false);
    for (std::size_t row = 0; row < table.n_rows(); ++row) {
      const std::size_t k = key_place(table, row);
      const std::size_t number = table.number(row, example);
      if (number < 1 || number > seen[k].size()) table.refuse(row, example, fmt::format("1 to {}", seen[k].size()));
      if (seen[k][number - 1]) table.refuse(row, example, "an example that no other row has");
      seen[k][number - 1] = true;
      for (std::size_t column = first_pattern; column < first_pattern + kPatternColumns; ++column) {
        if (!table.field(row, column).empty()) add_pattern(table, row, column, found_[k], found_[k].examples[number - 1]);
      }
    }
    for (std::size_t k = 0; k < seen.size(); ++k) {
      const auto missing = std::ranges::find(seen[k], false);
      if (missing == seen[k].end()) continue;
      fail(ErrorCode::argument_invalid, table.path().string(), ": expected a row for layer ", keys_[k].layer + 1, ", unit ",
           keys_[k].unit, ", example ", missing - seen[k].begin() + 1, ", found none");
    }
  }

  /// Every pattern occurs in enough prefixes.
  void check_patterns(const CsvTable& table) const {
    constexpr std::size_t kNumber = 2;
    for (std::size_t k = 0; k < found_.size(); ++k) {
      for (std::size_t p = 0; p < found_[k].patterns.size(); ++p) {
        const std::size_t n = found_[k].patterns[p].n_prefixes;
        if (n >= kLeastPrefixes) continue;
        table.refuse(pattern_rows_[k][p], kNumber,
                     fmt::format("a pattern of at least {} prefixes (annotation.csv has it in {})", kLeastPrefixes, n));
      }
    }
  }

  std::vector<KeyAnnotation> result() { return std::move(found_); }

 private:
  /// Which of the keys a row names in its first two columns.
  std::size_t key_place(const CsvTable& table, std::size_t row) const {
    const std::size_t layer = table.number(row, 0);
    const auto in_layer = [&](const KeyToAnnotate& key) { return key.layer + 1 == layer; };
    if (std::ranges::none_of(keys_, in_layer)) table.refuse(row, 0, "a layer of the keys to annotate");
    const auto place = places_.find({layer - 1, table.number(row, 1)});
    if (place == places_.end())
      table.refuse(row, 1, fmt::format("a key of layer {} that was to be annotated (is it another seed?)", layer));
    return place->second;
  }

  static PatternType pattern_type(const CsvTable& table, std::size_t row, std::size_t column) {
    const std::string_view type = table.field(row, column);
    if (type != "shallow" && type != "semantic") table.refuse(row, column, "'shallow' or 'semantic'");
    return type == "shallow" ? PatternType::shallow : PatternType::semantic;
  }

  static void add_pattern(const CsvTable& table, std::size_t row, std::size_t column, KeyAnnotation& key,
                          std::vector<std::size_t>& example) {
    const std::size_t number = table.number(row, column);
    const auto place = std::ranges::find(key.patterns, number, &Pattern::number);
    if (place == key.patterns.end()) table.refuse(row, column, "a pattern that patterns.csv describes for this key");
    const auto index = static_cast<std::size_t>(place - key.patterns.begin());
    if (std::ranges::find(example, index) != example.end()) table.refuse(row, column, "a pattern once in a row");
    example.push_back(index);
    ++place->n_prefixes;
  }

  const std::vector<KeyToAnnotate>& keys_;
  std::map<KeyName, std::size_t> places_;
  std::vector<KeyAnnotation> found_;
  std::vector<std::vector<std::size_t>> pattern_rows_;  // [keys]: of each pattern the row in patterns.csv
};

}  // namespace

Coverage coverage(const KeyAnnotation& key, std::size_t example) {
  bool shallow = false;
  bool semantic = false;
  for (const std::size_t pattern : key.examples[example]) {
    (key.patterns[pattern].type == PatternType::shallow ? shallow : semantic) = true;
  }
  if (shallow && semantic) return Coverage::both;
  return shallow ? Coverage::shallow : semantic ? Coverage::semantic : Coverage::none;
}

std::vector<KeyAnnotation> read_annotations(const std::filesystem::path& folder, const std::vector<KeyToAnnotate>& keys) {
  const CsvTable patterns(folder / "patterns.csv", {"layer", "unit", "pattern", "description", "type"});
  std::vector<std::string> columns{"layer", "unit", "example"};
  for (std::size_t p = 1; p <= kPatternColumns; ++p) columns.push_back(fmt::format("pattern {}", p));
  const CsvTable prefixes(folder / "annotation.csv", columns);
  Reader reader(keys);
  reader.read_patterns(patterns);
  reader.read_prefixes(prefixes);
  reader.check_patterns(patterns);
  return reader.result();
}

}  // namespace ffmem::tools
