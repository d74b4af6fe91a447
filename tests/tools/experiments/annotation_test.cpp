#include "tools/experiments/annotation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/csv.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// The material of a run, filled in by somebody.
class Annotator {
 public:
  explicit Annotator(Workbench& bench) : keys_(keys_to_annotate(bench)) {
    const auto material = annotation_material(keys_, *bench.tokenizer(), false);
    annotation_ = parse_csv(material[0].content, "annotation.csv");
    patterns_ = parse_csv(material[1].content, "patterns.csv");
  }

  const std::vector<KeyToAnnotate>& keys() const { return keys_; }

  /// Row in patterns.csv of a key's pattern: number, description, type.
  std::vector<std::string>& pattern(std::size_t key, std::size_t number) { return row(patterns_, key, number); }
  std::vector<std::string>& prefix(std::size_t key, std::size_t example) { return row(annotation_, key, example); }

  void describe(std::size_t key, std::size_t number, const std::string& description, const std::string& type) {
    pattern(key, number)[3] = description;
    pattern(key, number)[4] = type;
  }

  /// Gives the first prefixes of a key a pattern, in its column.
  void mark(std::size_t key, std::size_t number, std::size_t n_prefixes) {
    for (std::size_t e = 1; e <= n_prefixes; ++e) prefix(key, e)[3 + number] = std::to_string(number);
  }

  void save(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "annotation.csv") << text(annotation_);
    std::ofstream(folder / "patterns.csv") << text(patterns_);
  }

  /// What reading the files as they are now says.
  std::string error() const {
    save(folder_.path());
    return thrown([&] { read_annotations(folder_.path(), keys_); }).what();
  }
  std::vector<KeyAnnotation> read() const {
    save(folder_.path());
    return read_annotations(folder_.path(), keys_);
  }

  std::vector<CsvRow>& annotation_rows() { return annotation_; }

 private:
  std::vector<std::string>& row(std::vector<CsvRow>& rows, std::size_t key, std::size_t number) const {
    const std::string layer = std::to_string(keys_[key].layer + 1);
    const std::string unit = std::to_string(keys_[key].unit);
    for (CsvRow& r : rows) {
      if (r.fields[0] == layer && r.fields[1] == unit && r.fields[2] == std::to_string(number)) return r.fields;
    }
    FAIL("no such row");
    return rows.front().fields;
  }

  static std::string text(const std::vector<CsvRow>& rows) {
    Table table{.columns = rows.front().fields};
    for (std::size_t r = 1; r < rows.size(); ++r) table.rows.emplace_back(rows[r].fields.begin(), rows[r].fields.end());
    return to_csv(table);
  }

  std::vector<KeyToAnnotate> keys_;
  std::vector<CsvRow> annotation_;
  std::vector<CsvRow> patterns_;
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("annotation: the material of the same seed is the same, and without annotations there is nothing but the material") {
  const ExperimentModel model;
  Workbench bench(model.options("one"));
  Workbench again(model.options("two"));
  const Result result = annotation(bench);
  REQUIRE(result.materials.size() == 3);
  CHECK(result.materials[0].content == annotation(again).materials[0].content);
  CHECK(result.figures.empty());
  CHECK(result.tables.empty());
  CHECK(contains(result.run_found, "Nobody has annotated"));
  ExperimentOptions other = model.options("three");
  other.seed = 2;
  Workbench different(other);
  CHECK(result.materials[0].content != annotation(different).materials[0].content);
}

TEST_CASE("annotation: the instructions say whether a key's examples are its most positive or its most negative ones") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const auto keys = keys_to_annotate(bench);
  const std::string positive = annotation_material(keys, *bench.tokenizer(), false)[2].content;
  CHECK(contains(positive, "that excite it most:"));
  CHECK(contains(positive, "the strongest first"));
  const std::string negative = annotation_material(keys, *bench.tokenizer(), true)[2].content;
  CHECK(contains(negative, "with its most negative coefficients:"));
  CHECK(contains(negative, "the most negative first"));
  CHECK_FALSE(contains(negative, "excite"));
}

TEST_CASE("annotation: an empty annotation is valid, and covers nothing") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const Annotator annotator(bench);
  for (const KeyAnnotation& key : annotator.read()) {
    CHECK(key.patterns.empty());
    for (std::size_t e = 0; e < key.examples.size(); ++e) CHECK(coverage(key, e) == Coverage::none);
  }
}

TEST_CASE("annotation: prefixes are classed by the types of their patterns") {
  const ExperimentModel model;
  Workbench bench(model.options());
  Annotator annotator(bench);
  REQUIRE(annotator.keys()[0].examples.size() == 4);
  annotator.describe(0, 2, "ends in w5, or \"w6\"", "shallow");
  annotator.describe(0, 1, "rain", "semantic");
  annotator.mark(0, 2, 4);
  annotator.mark(0, 1, 3);
  annotator.prefix(0, 1)[5].clear();
  annotator.prefix(0, 1)[4].swap(annotator.prefix(0, 1)[9]);  // any column will do
  const auto found = annotator.read();
  REQUIRE(found[0].patterns.size() == 2);
  CHECK(found[0].patterns[0].number == 1);
  CHECK(found[0].patterns[0].n_prefixes == 3);
  CHECK(found[0].patterns[1].description == "ends in w5, or \"w6\"");
  CHECK(coverage(found[0], 0) == Coverage::semantic);
  CHECK(coverage(found[0], 1) == Coverage::both);
  CHECK(coverage(found[0], 2) == Coverage::both);
  CHECK(coverage(found[0], 3) == Coverage::shallow);
}

TEST_CASE("annotation: each broken rule is an error that names file, line and column") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const auto error_after = [&](auto&& edit) {
    Annotator annotator(bench);
    annotator.describe(0, 1, "rain", "semantic");
    annotator.mark(0, 1, 3);
    edit(annotator);
    return annotator.error();
  };
  const auto has = [](const std::string& message, const std::string& part) { CHECK_MESSAGE(contains(message, part), message); };
  has(error_after([](Annotator& a) { a.prefix(0, 3)[4].clear(); }),
      "patterns.csv: line 2, column 'pattern': expected a pattern of at least 3 prefixes (annotation.csv has it in 2), found "
      "'1'");
  has(error_after([](Annotator& a) { a.pattern(0, 1)[4] = "deep"; }),
      "patterns.csv: line 2, column 'type': expected 'shallow' or 'semantic', found 'deep'");
  has(error_after([](Annotator& a) { a.pattern(0, 1)[4] = ""; }), "column 'type': expected 'shallow' or 'semantic', found ''");
  has(error_after([](Annotator& a) { a.pattern(0, 1)[3] = ""; }), "line 2, column 'description': expected a description");
  has(error_after([](Annotator& a) { a.pattern(0, 1)[2] = "one"; }), "line 2, column 'pattern': expected a whole number");
  has(error_after([](Annotator& a) {
        a.describe(0, 2, "snow", "semantic");
        a.pattern(0, 2)[2] = "1";
      }),
      "patterns.csv: line 3, column 'pattern': expected a number that no other pattern of the key has, found '1'");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[5] = "7"; }),
      "annotation.csv: line 3, column 'pattern 2': expected a pattern that patterns.csv describes for this key, found '7'");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[5] = "1"; }),
      "line 3, column 'pattern 2': expected a pattern once in a row");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[5] = "x"; }),
      "line 3, column 'pattern 2': expected a whole number, found 'x'");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[2] = "9"; }),
      "annotation.csv: line 3, column 'example': expected 1 to 4, found '9'");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[2] = "1"; }),
      "line 3, column 'example': expected an example that no other row has");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[0] = "9"; }), "line 3, column 'layer': expected a layer of the keys");
  has(error_after([](Annotator& a) { a.prefix(0, 2)[1] = "99"; }), "line 3, column 'unit': expected a key of layer 1");
  has(error_after([](Annotator& a) { a.annotation_rows().pop_back(); }), "annotation.csv: expected a row for layer 3");
}

TEST_CASE("annotation: one annotator's files give the figure, shares that sum to one, and the patterns") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  {
    Workbench bench(options);
    Annotator annotator(bench);
    annotator.describe(0, 1, "rain", "semantic");
    annotator.mark(0, 1, 3);
    annotator.save(model.texts().path() / "first");
    annotator.describe(1, 1, "ends in w5", "shallow");
    annotator.mark(1, 1, 4);
    annotator.save(model.texts().path() / "second");
  }
  options.annotations = {model.texts().path() / "first"};
  Workbench bench(options);
  const Result result = annotation(bench);
  REQUIRE(result.figures.size() == 1);
  for (const auto& row : result.figures[0].data.rows) {
    double sum = 0.0;
    for (std::size_t c = 1; c < row.size(); ++c) sum += std::get<double>(row[c]);
    CHECK(sum == doctest::Approx(1.0));
  }
  CHECK(estimate_of(result, "layer 1 semantic").value == doctest::Approx(3.0 / 8.0));
  CHECK(estimate_of(result, "patterns per key").value == doctest::Approx(1.0 / 6.0));
  CHECK(std::ranges::none_of(result.estimates, [](const auto& named) { return named.first == "Cohen's kappa"; }));
  REQUIRE(result.tables.size() == 2);
  for (const auto& row : result.tables[0].rows) {
    CHECK(row.size() == result.tables[0].columns.size());
    const auto patterns = std::span(row).last(4);  // of a key: mean, low, high; then prefixes
    CHECK(std::get<double>(patterns[1]) <= std::get<double>(patterns[0]));
    CHECK(std::get<double>(patterns[0]) <= std::get<double>(patterns[2]));
  }
  REQUIRE(result.tables[1].rows.size() == 1);
  CHECK(std::get<std::string>(result.tables[1].rows[0][5]) == "rain");

  options.annotations = {model.texts().path() / "first", model.texts().path() / "second"};
  Workbench both(options);
  const Result agreed = annotation(both);
  CHECK(estimate_of(agreed, "Cohen's kappa").value < 1.0);
  CHECK(estimate_of(agreed, "Cohen's kappa").value > 0.0);
  CHECK(estimate_of(agreed, "layer 1 semantic").n == 16);
}

TEST_CASE("annotation: two annotators who found nothing have no agreement to tell of") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  const std::vector<std::filesystem::path> folders{model.texts().path() / "first", model.texts().path() / "second"};
  {
    Workbench bench(options);
    for (const auto& folder : folders) Annotator(bench).save(folder);
  }
  options.annotations = folders;
  Workbench bench(options);
  const Result result = annotation(bench);
  CHECK(contains(result.run_found, "2 people annotated"));
  CHECK_MESSAGE(!contains(result.run_found, "kappa"), result.run_found);
}

TEST_CASE("annotation: files that somebody has filled in are never written over") {
  const ExperimentModel model;
  Workbench bench(model.options());
  const Result result = annotation(bench);
  write_result(bench.options().out, result);
  CHECK(annotation(bench).materials.size() == 3);
  Annotator annotator(bench);
  annotator.describe(0, 1, "rain", "semantic");
  annotator.mark(0, 1, 3);
  annotator.save(bench.options().out / "annotation");
  const Result later = annotation(bench);
  REQUIRE(later.materials.size() == 1);
  CHECK(later.materials[0].name == "instructions.txt");
  CHECK(contains(later.run_found, "have been filled in"));

  CHECK(later.kept == std::vector<std::string>{"annotation.csv", "patterns.csv"});

  // Nor by the figure that is drawn from them.
  ExperimentOptions options = model.options();
  options.annotations = {bench.options().out / "annotation"};
  const std::string sheet = read_text_file(options.annotations[0] / "annotation.csv");
  Workbench again(options);
  const Result annotated = annotation(again);
  CHECK(annotated.figures.size() == 1);
  write_result(options.out, annotated);
  CHECK(read_text_file(options.annotations[0] / "annotation.csv") == sheet);
}

TEST_CASE("annotation: work on other keys stays as it is, instructions too, and is not called this run's") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  const std::filesystem::path folder = options.out / "annotation";
  {
    Workbench bench(options);
    write_result(options.out, annotation(bench));
    Annotator annotator(bench);
    annotator.describe(0, 1, "rain", "semantic");
    annotator.save(folder);
  }
  std::string sheet = read_text_file(folder / "annotation.csv");
  const std::string instructions = read_text_file(folder / "instructions.txt");
  sheet.replace(sheet.find("w"), 2, "#NAME?");  // as a spreadsheet may leave a prefix
  model.texts().write("out/annotation/annotation.csv", sheet);
  Workbench same_keys(options);
  CHECK(contains(annotation(same_keys).run_found, "The files of this folder have been filled in"));
  options.annotated_keys = 1;
  Workbench other(options);
  const Result result = write_result(options.out, annotation(other));
  CHECK(result.materials.empty());
  CHECK(contains(result.run_found, "have been filled in for other keys"));
  CHECK(contains(result.run_found, "this run's material, 12 prefixes of 3 keys, is not written"));
  CHECK(read_text_file(folder / "annotation.csv") == sheet);
  CHECK(read_text_file(folder / "instructions.txt") == instructions);

  // Sheets that are no tables any longer are somebody's work, too.
  model.texts().write("out/annotation/annotation.csv", "a \"quote");
  CHECK(annotation(other).materials.empty());
}

TEST_CASE("annotation: a folder that is given twice is one annotator's, by whatever path") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  const auto folder = model.texts().path() / "first";
  {
    const Workbench bench(options);
    std::filesystem::create_directory(folder);
    model.texts().write("first/annotation.csv", "");
  }
  options.annotations = {folder, model.texts().path() / "." / "first" / ""};
  const Error error = thrown([&] { Workbench{options}; });
  CHECK(error.code() == ErrorCode::argument_invalid);
  CHECK(contains(error.what(), "found one twice"));
}

TEST_CASE("annotation: Cohen's kappa of a worked example") {
  // One key, four prefixes: patterns 0 shallow, 1 semantic. Classes: S S M M against S M M M.
  const std::vector<Pattern> patterns{{.number = 1, .description = "a", .type = PatternType::shallow, .n_prefixes = 3},
                                      {.number = 2, .description = "b", .type = PatternType::semantic, .n_prefixes = 3}};
  const std::vector<KeyAnnotation> first{{.patterns = patterns, .examples = {{0}, {0}, {1}, {1}}}};
  const std::vector<KeyAnnotation> second{{.patterns = patterns, .examples = {{0}, {1}, {1}, {1}}}};
  // Observed 3/4; by chance 1/2 * 1/4 + 1/2 * 3/4 = 1/2.
  const Estimate kappa = cohens_kappa(first, second, {1, "test"});
  CHECK(kappa.value == doctest::Approx(0.5));
  CHECK(kappa.n == 4);
  CHECK(cohens_kappa(first, first, {1, "test"}).value == doctest::Approx(1.0));
  const std::vector<KeyAnnotation> uncovered{{.patterns = {}, .examples = {{}, {}}}};
  CHECK(std::isnan(cohens_kappa(uncovered, uncovered, {1, "test"}).value));
}
