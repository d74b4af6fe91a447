// What an annotator gets: annotation_files.hpp.
#include <fmt/format.h>

#include <array>
#include <set>

#include "ops/error.hpp"
#include "tools/experiments/annotation_files.hpp"
#include "tools/experiments/csv.hpp"

namespace ffmem::tools {
namespace {

/// Numbers under which each key's patterns can be described.
constexpr std::size_t kPatternRows = 8;

std::string instructions(std::size_t n_keys, bool smallest) {
  return fmt::format(
      "How to annotate\n"
      "\n"
      "A key is one unit of the model. annotation.csv lists, for each of {} keys, the beginnings of sentences {}:\n"
      "the last token of each is where {}. Look for what they have in common, key by key.\n"
      "\n"
      "1. Work on a copy of this folder. A second annotator works on another copy, without seeing yours.\n"
      "2. A pattern is something that occurs in at least {} prefixes of a key. Describe each pattern in patterns.csv, in the "
      "row of\n"
      "   its key with a free number (more rows may be added): in `description` what it is, in `type` one of two words:\n"
      "     shallow    a recurring n-gram: the prefixes end in, or contain, the same words\n"
      "     semantic   a recurring topic or meaning, in different words\n"
      "3. In annotation.csv write the numbers of a prefix's patterns in the columns `pattern 1` to `pattern {}`, one a column, "
      "in any\n"
      "   order. A prefix without a pattern stays empty.\n"
      "4. Leave the other columns and the order of columns as they are. In a spreadsheet open both files as UTF-8 with every\n"
      "   column as text (a prefix may begin with =), and save them as CSV UTF-8.\n"
      "5. Give the folders back: ffmem experiment annotation ... --annotations FOLDER [FOLDER]. What breaks these rules is\n"
      "   named by file, line and column.\n"
      "\n"
      "Layers are counted from 1, units from 0; examples from 1, the {} first.\n",
      n_keys, smallest ? "with its most negative coefficients" : "that excite it most", smallest ? "it has them" : "it does",
      kLeastPrefixes, kPatternColumns, smallest ? "most negative" : "strongest");
}

Table prefixes_to_annotate(const std::vector<KeyToAnnotate>& keys, const Tokenizer& tokenizer) {
  Table table{.columns = {"layer", "unit", "example", "prefix"}};
  for (std::size_t p = 1; p <= kPatternColumns; ++p) table.columns.push_back(fmt::format("pattern {}", p));
  for (const KeyToAnnotate& key : keys) {
    for (std::size_t e = 0; e < key.examples.size(); ++e) {
      std::vector<Cell> row{count_cell(key.layer + 1), count_cell(key.unit), count_cell(e + 1),
                            tokenizer.decode(key.examples[e].prefix)};
      row.resize(table.columns.size(), std::string());
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

Table patterns_to_describe(const std::vector<KeyToAnnotate>& keys) {
  Table table{.columns = {"layer", "unit", "pattern", "description", "type"}};
  for (const KeyToAnnotate& key : keys) {
    for (std::size_t p = 1; p <= kPatternRows; ++p) {
      table.rows.push_back({count_cell(key.layer + 1), count_cell(key.unit), count_cell(p), "", ""});
    }
  }
  return table;
}

/// True if a row of the file has something in the columns.
bool has_text(const std::filesystem::path& path, const std::vector<std::string>& columns) {
  if (!std::filesystem::exists(path)) return false;
  try {
    const CsvTable table(path, columns);
    for (std::size_t row = 0; row < table.n_rows(); ++row) {
      for (std::size_t column = 0; column < columns.size(); ++column) {
        if (!table.field(row, column).empty()) return true;
      }
    }
    return false;
  } catch (const Error&) {
    return true;  // somebody has worked on it
  }
}

/// Whether annotation.csv lists the examples of these keys, in any order. Their text may have changed on the way through a
/// spreadsheet, and nothing reads it.
bool lists_examples_of(const std::filesystem::path& path, const std::vector<KeyToAnnotate>& keys) {
  using Example = std::array<std::size_t, 3>;  // layer, unit, example, as in the sheet
  std::set<Example> expected;
  for (const KeyToAnnotate& key : keys) {
    for (std::size_t e = 0; e < key.examples.size(); ++e) expected.insert({key.layer + 1, key.unit, e + 1});
  }
  try {
    const CsvTable table(path, {"layer", "unit", "example"});
    std::set<Example> found;
    for (std::size_t r = 0; r < table.n_rows(); ++r) {
      found.insert({table.number(r, 0), table.number(r, 1), table.number(r, 2)});
    }
    return found == expected;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<KeyToAnnotate> keys_to_annotate(Workbench& bench) {
  const TriggerStore& store = bench.triggers();
  std::vector<KeyToAnnotate> keys;
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    std::vector<std::size_t> units;
    for (std::size_t unit = 0; unit < store.d_memory(); ++unit) {
      if (!store.examples(layer, unit, 1).empty()) units.push_back(unit);
    }
    Random random = bench.random(fmt::format("annotation/keys/{}", layer));
    for (const std::size_t i : sample(units.size(), bench.options().annotated_keys, random)) {
      keys.push_back(
          {.layer = layer, .unit = units[i], .examples = store.examples(layer, units[i], bench.options().annotated_examples)});
    }
  }
  return keys;
}

std::vector<Material> annotation_material(const std::vector<KeyToAnnotate>& keys, const Tokenizer& tokenizer, bool smallest) {
  return {{.name = "annotation.csv",
           .caption = "The prefixes to annotate, with empty columns for the numbers of their patterns",
           .content = to_csv(prefixes_to_annotate(keys, tokenizer))},
          {.name = "patterns.csv",
           .caption = "The patterns, to be described and classed as shallow or semantic",
           .content = to_csv(patterns_to_describe(keys))},
          {.name = "instructions.txt", .caption = "How to annotate", .content = instructions(keys.size(), smallest)}};
}

Sheets sheets_in(const std::filesystem::path& folder, const std::vector<KeyToAnnotate>& keys) {
  std::vector<std::string> columns;
  for (std::size_t p = 1; p <= kPatternColumns; ++p) columns.push_back(fmt::format("pattern {}", p));
  if (!has_text(folder / "annotation.csv", columns) && !has_text(folder / "patterns.csv", {"description", "type"})) {
    return Sheets::blank;
  }
  return lists_examples_of(folder / "annotation.csv", keys) ? Sheets::filled_in : Sheets::of_other_keys;
}

}  // namespace ffmem::tools
