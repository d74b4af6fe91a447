#include "tools/experiments/last_layer_changes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ops/error.hpp"
#include "tools/experiments/csv.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::string_view kInstructions =
    "How to label changes.csv\n"
    "\n"
    "Each row is a text, and the next token as predicted before and after the model's last feed-forward layer. Write in the "
    "column\n"
    "`label` of each row one word:\n"
    "  near   the two tokens are related in meaning or in grammar (people -> same, later -> earlier, gastric -> stomach)\n"
    "  far    they are not\n"
    "Judge the tokens, not which of them fits the text better. Leave the other columns as they are. Then give the folder "
    "back:\n"
    "  ffmem experiment last-layer-changes ... --annotations FOLDER\n"
    "with the same model, text and seed. Labels already here are kept when the experiment runs again.\n";

/// Files with labels: of the annotators' folders those that have one, and what an earlier run left.
std::vector<std::filesystem::path> label_files(const Workbench& bench) {
  std::vector<std::filesystem::path> folders = bench.options().annotations;
  folders.push_back(bench.options().out / "last-layer-changes");
  std::vector<std::filesystem::path> files;
  for (const auto& folder : folders) {
    if (std::filesystem::exists(folder / "changes.csv")) files.push_back(folder / "changes.csv");
  }
  return files;
}

/// Copies the labels in `path` to those rows of `changes` that have none. Throws what CsvTable throws, and argument_invalid for
/// a label that is neither near nor far, or one of another case than the row of that number.
void take_labels(const std::filesystem::path& path, Table& changes) {
  const std::vector<std::string> columns{"number", "sentence", "before", "after", "label"};
  const CsvTable labels(path, columns);
  for (std::size_t row = 0; row < labels.n_rows(); ++row) {
    const std::string label(labels.field(row, 4));
    if (label.empty()) continue;
    if (label != "near" && label != "far") labels.refuse(row, 4, "near, far or nothing");
    const std::size_t number = labels.number(row, 0);
    if (number < 1 || number > changes.rows.size()) labels.refuse(row, 0, concat("1 to ", changes.rows.size()));
    std::vector<Cell>& change = changes.rows[number - 1];
    for (std::size_t c = 1; c < 4; ++c) {
      const auto place = std::ranges::find(changes.columns, columns[c]) - changes.columns.begin();
      const std::string expected = cell_text(change[static_cast<std::size_t>(place)]);
      if (labels.field(row, c) != expected)
        labels.refuse(row, c, concat("'", expected, "', as this model, text and seed give"));
    }
    if (cell_text(change.back()).empty()) change.back() = label;
  }
}

/// The examples whose prediction the last layer changes.
std::vector<std::size_t> changed_examples(const LayerPass& pass) {
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < pass.examples.size(); ++i) {
    const std::size_t at = pass.at(i, pass.n_layers - 1);
    if (pass.residual[at] != pass.output[at]) changed.push_back(i);
  }
  return changed;
}

/// The cases to label, with the labels they have by now.
Table change_table(const Workbench& bench, const LayerPass& pass, const std::vector<std::size_t>& changed) {
  Random random = bench.random("last-layer-changes");
  const std::vector<std::size_t> chosen = sample(changed.size(), bench.options().changes, random);
  Table changes{
      .name = "changes",
      .caption = fmt::format("{} random cases, of {}, in which the last feed-forward layer changes the prediction: to be "
                             "labelled near or far (instructions.txt)",
                             chosen.size(), changed.size()),
      .columns = {"number", "sentence", "prefix", "before", "after", "by the layer alone", "next in the text", "label"},
      .rows = {}};
  for (std::size_t n = 0; n < chosen.size(); ++n) {
    const std::size_t i = changed[chosen[n]];
    const auto text = [&](TokenId token) { return visible_token(bench.tokenizer().get(), token); };
    const std::size_t at = pass.at(i, pass.n_layers - 1);
    changes.rows.push_back({count_cell(n + 1), pass.examples.sentences[pass.examples.examples[i].sentence],
                            text_of(bench, pass.examples.prefix(i)), text(pass.residual[at]), text(pass.output[at]),
                            text(pass.ffn[at]), text(pass.examples.next(i)), ""});
  }
  for (const auto& path : label_files(bench)) take_labels(path, changes);
  return changes;
}

/// The share of changed examples whose new token is not the layer's own, in words.
std::string composed_text(const LayerPass& pass, const std::vector<std::size_t>& changed) {
  if (changed.empty()) return "none";
  const auto n_composed = std::ranges::count_if(changed, [&](std::size_t i) {
    const std::size_t at = pass.at(i, pass.n_layers - 1);
    return pass.output[at] != pass.ffn[at];
  });
  return percent(static_cast<double>(n_composed) / static_cast<double>(changed.size()));
}

/// What the labels say, if there are any.
void add_labels(const Workbench& bench, const Table& changes, Result& result) {
  const auto n_labelled = [&](const char* label) {
    return static_cast<std::size_t>(std::ranges::count(changes.rows, Cell(label), [](const auto& row) { return row.back(); }));
  };
  const std::size_t n_far = n_labelled("far");
  const std::size_t n_labels = n_far + n_labelled("near");
  if (n_labels == 0) return;
  const Estimate far = estimate_share(n_far, n_labels, bench.random("last-layer-changes/interval/far"));
  result.run_found += fmt::format(" Of the {} labelled ones, {} change to a token far in meaning.", n_labels, percent(far));
  result.estimates.emplace_back("far", far);
}

}  // namespace

Result last_layer_changes(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const std::vector<std::size_t> changed = changed_examples(pass);
  const Estimate share = estimate_share(changed.size(), pass.examples.size(), bench.random("last-layer-changes/interval"));
  Table changes = change_table(bench, pass, changed);
  Result result{.name = "last-layer-changes", .title = "What the last feed-forward layer changes"};
  result.paper_place = "section 5.2";
  result.paper_found =
      "Of 100 random examples whose prediction the last feed-forward layer changed, 66 changed to a token that is far in "
      "meaning from the one before, and 34 to a related one.";
  result.run_found = fmt::format(
      "The last feed-forward layer changes the prediction in {} of the examples; in {} of these cases the new token is not the "
      "one that the layer's own output predicts. {} cases are written down to be labelled.",
      percent(share), composed_text(pass, changed), changes.rows.size());
  add_labels(bench, changes, result);
  result.settings = stream_settings(bench, pass.examples, bench.options().stream_lens);
  result.settings.emplace_back("changed", "top(r) is not top(o) in the last layer");
  result.settings.emplace_back("cases to label", std::to_string(changes.rows.size()));
  result.estimates.emplace_back("changed", share);
  result.tables.push_back(std::move(changes));
  result.materials.push_back({"instructions.txt", "How to label the changes", std::string(kInstructions)});
  return result;
}

}  // namespace ffmem::tools
