// What the experiments of sections 5.1 and 5.2 write down, on small models.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/annotation.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/last_layer_changes.hpp"
#include "tools/experiments/layer_composition.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/stop_words.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

constexpr std::array kNames{"active-memories",        "zero-agreement",    "agreeing-memories",  "residual-predictions",
                            "residual-probabilities", "layer-composition", "last-layer-changes", "memory-effects"};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// Three cases of the last layer's changes, written down without labels.
struct CasesToLabel {
  ExperimentModel model{"hf/llama"};
  ExperimentOptions options;
  std::unique_ptr<Workbench> bench;
  std::string empty;  // changes.csv
  std::string end;    // of its lines

  CasesToLabel() : options(model.options()) {
    options.changes = 3;
    bench = std::make_unique<Workbench>(options);
    write_result(options.out, last_layer_changes(*bench));
    empty = read_text_file(options.out / "last-layer-changes" / "changes.csv");
    end = empty.find("\r\n") == std::string::npos ? "\n" : "\r\n";
  }

  // The file with a label in row `row`, from 1.
  std::string labelled(std::size_t row, const char* label) const {
    std::size_t at = empty.find(end);
    for (std::size_t i = 0; i < row; ++i) at = empty.find(end, at + 1);
    return std::string(empty).insert(at, label);
  }

  // The file with a label in every row.
  std::string all_labelled(const std::array<const char*, 3>& labels) const {
    std::string text = empty;
    for (std::size_t row = labels.size(); row > 0; --row) {
      std::size_t at = text.find(end);
      for (std::size_t i = 0; i < row; ++i) at = text.find(end, at + 1);
      text.insert(at, labels[row - 1]);
    }
    return text;
  }

  void fill(const std::string& folder, const std::string& text) const {
    std::filesystem::create_directories(model.texts().path() / folder);
    model.texts().write(folder + "/changes.csv", text);
  }
};

}  // namespace

TEST_CASE("layer experiments: every kind of model gives results whose tables are whole and whose intervals hold their values") {
  for (const std::string& golden : kExperimentGoldens) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    auto options = model.options();
    options.n_examples = 12;
    options.effect_examples = 2;
    Workbench bench(options);
    for (const char* name : kNames) {
      CAPTURE(name);
      const Result result = experiment_from_name(name).run(bench);
      CHECK(result.name == name);
      for (const std::string& text : {result.title, result.paper_place, result.paper_found, result.run_found}) {
        CHECK(!text.empty());
        CHECK(text.find("nan") == std::string::npos);
      }
      const std::map<std::string, std::string> settings(result.settings.begin(), result.settings.end());
      CHECK(settings.size() == result.settings.size());
      for (const char* setting : {"model", "weights", "text", "tokens of a sentence's run at most", "seed"}) {
        CHECK(settings.contains(setting));
      }
      CHECK(!result.tables.empty());
      for (const Table& table : result.tables) {
        for (const auto& row : table.rows) CHECK(row.size() == table.columns.size());
      }
      for (const Figure& figure : result.figures) {
        for (const auto& row : figure.data.rows) CHECK(row.size() == figure.data.columns.size());
        CHECK(figure.samples.of == "prefixes");
        CHECK(figure.samples.least > 0);
        CHECK(figure.samples.most == (result.name == "memory-effects" ? options.effect_examples : options.n_examples));
      }
      for (const auto& named : result.estimates) {
        CAPTURE(named.first);
        const auto& estimate = named.second;
        if (std::isnan(estimate.value)) continue;
        CHECK(estimate.low <= estimate.value + 1e-12);
        CHECK(estimate.high >= estimate.value - 1e-12);
      }
    }
  }
}

TEST_CASE("layer_composition: the five cases are all there are") {
  const ExperimentModel model("hf/llama");
  Workbench bench(model.options());
  const Result result = layer_composition(bench);
  CHECK(result.figures[0].data.rows.size() == bench.n_layers());
  for (const auto& row : result.figures[0].data.rows) {
    double sum = 0.0;
    for (std::size_t c = 1; c < row.size(); ++c) sum += std::get<double>(row[c]);
    CHECK(sum == doctest::Approx(1.0));
  }
}

TEST_CASE("last_layer_changes: labels come back, stay when the experiment runs again, and are refused for other cases") {
  const CasesToLabel cases;
  const auto last_changes = [&] { return last_layer_changes(*cases.bench); };
  const std::string labelled = cases.labelled(1, "far");
  cases.fill("out/last-layer-changes", labelled);
  const Result result = last_changes();
  REQUIRE(result.estimates.size() == 3);
  CHECK(estimate_of(result, "far").value == 1.0);
  CHECK(estimate_of(result, "far").n == 1);
  write_result(cases.options.out, result);
  CHECK(read_text_file(cases.options.out / "last-layer-changes" / "changes.csv") == labelled);
  cases.fill("out/last-layer-changes", cases.labelled(1, "wide"));
  CHECK(contains(thrown(last_changes).what(), "expected near, far or nothing"));
  ExperimentOptions options = cases.options;
  options.annotations = {cases.model.texts().path() / "first"};
  const auto given_changes = [&] {
    Workbench bench(options);
    last_layer_changes(bench);
  };
  cases.fill("first", replaced(labelled, cases.end + "1,", cases.end + "9,"));
  CHECK(contains(thrown(given_changes).what(), "expected 1 to 3"));
  cases.fill("first", replaced(labelled, cases.end + "1,", cases.end + "2,"));
  CHECK(thrown(given_changes).code() == ErrorCode::argument_invalid);
}

TEST_CASE("last_layer_changes: labels of other cases that stand in the folder stay, and the experiment goes on without them") {
  const CasesToLabel cases;
  const std::filesystem::path file = cases.options.out / "last-layer-changes" / "changes.csv";
  const std::string labelled = cases.labelled(1, "far");
  for (const std::string& text : {replaced(labelled, cases.end + "1,", cases.end + "9,"),
                                  replaced(labelled, cases.end + "1,", cases.end + "2,"), std::string("no table\n\"")}) {
    cases.fill("out/last-layer-changes", text);
    const Result result = last_layer_changes(*cases.bench);
    CHECK(contains(result.run_found, "was left as it is"));
    CHECK(result.estimates.size() == 2);
    write_result(cases.options.out, result);
    CHECK(read_text_file(file) == text);
  }
  // Without a label it is nobody's work.
  cases.fill("out/last-layer-changes", replaced(cases.empty, cases.end + "1,", cases.end + "9,"));
  write_result(cases.options.out, last_layer_changes(*cases.bench));
  CHECK(read_text_file(file) == cases.empty);
}

TEST_CASE("last_layer_changes: of the annotators' folders and what stands there, a case's first label counts") {
  CasesToLabel cases;
  cases.fill("first", cases.labelled(1, "far"));
  cases.fill("second", cases.labelled(2, "near"));
  cases.fill("out/last-layer-changes", cases.labelled(1, "near"));
  const auto folder = [&](const char* name) { return cases.model.texts().path() / name; };
  cases.options.annotations = {folder("first"), folder("second")};
  Workbench given(cases.options);
  const Result result = last_layer_changes(given);
  const auto& rows = result.tables.back().rows;
  CHECK(cell_text(rows[0].back()) == "far");
  CHECK(cell_text(rows[1].back()) == "near");
  CHECK(cell_text(rows[2].back()).empty());
  CHECK(annotation(given).run_found.starts_with("Nobody has annotated"));  // no folder has annotation.csv

  cases.options.annotations = {folder("frist")};
  CHECK(contains(thrown([&] { Workbench mistyped(cases.options); }).what(),
                 "expected a folder with annotation.csv or changes.csv"));
}

TEST_CASE("last_layer_changes: of two annotators every label counts, and their agreement is told") {
  CasesToLabel cases;
  cases.fill("first", cases.all_labelled({"far", "near", "far"}));
  cases.fill("second", cases.all_labelled({"far", "near", "near"}));
  cases.options.annotations = {cases.model.texts().path() / "first", cases.model.texts().path() / "second"};
  Workbench bench(cases.options);
  const Result result = last_layer_changes(bench);
  CHECK(estimate_of(result, "far").n == 6);
  CHECK(estimate_of(result, "far").value == doctest::Approx(3.0 / 6.0));
  CHECK(estimate_of(result, "Cohen's kappa").n == 3);
  CHECK(estimate_of(result, "Cohen's kappa").value == doctest::Approx(0.4));  // (2/3 - 4/9) / (1 - 4/9)
  CHECK(contains(result.run_found, "On 3 cases that both annotators labelled, Cohen's kappa is 0.40"));
}

TEST_CASE("extremes: layers without a number are neither the first nor the last, the highest nor the lowest") {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const Extremes found = extremes({kNone, 3.0, 5.0, 1.0, kNone});
  CHECK(found.first == 2);
  CHECK(found.last == 4);
  CHECK(found.highest == 3);
  CHECK(found.lowest == 4);
  const Extremes nothing = extremes({kNone, kNone});
  for (const std::size_t place : {nothing.first, nothing.last, nothing.highest, nothing.lowest}) CHECK(place == 1);
}

TEST_CASE("is_stop_word: white space and case do not matter, parts of words do not count") {
  for (const char* word : {"the", " The", "\tOF\n", "n't", " 's"}) CHECK(is_stop_word(word));
  for (const char* word : {"", " ", "theme", "th e", ",", "1", "t h e"}) CHECK(!is_stop_word(word));
}
