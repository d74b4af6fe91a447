#include "tools/experiments/last_layer_changes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

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
    "Each row is a text, and the next token as predicted before and after the model's last feed-forward layer. Write in\n"
    "the column `label` of each row one word:\n"
    "  near   the two tokens are related in meaning or in grammar (people -> same, later -> earlier, gastric -> stomach)\n"
    "  far    they are not\n"
    "Judge the tokens, not which of them fits the text better. Leave the other columns as they are. Then give the folder\n"
    "back:\n"
    "  ffmem experiment last-layer-changes ... --annotations FOLDER\n"
    "with the same model, text and seed, once for each annotator's. Labels already here are kept when the experiment runs\n"
    "again.\n";

/// The labels of one file, one for each case, empty where it has none.
using Labels = std::vector<std::string>;

constexpr std::array kLabelColumns{"number", "sentence", "before", "after", "label"};
constexpr std::size_t kLabel = 4;

/// The number, from 1, of the case in a row. Throws argument_invalid for a row that is of another case than that.
std::size_t case_number(const CsvTable& table, std::size_t row, const Table& changes) {
  const std::size_t number = table.number(row, 0);
  if (number < 1 || number > changes.rows.size()) table.refuse(row, 0, concat("1 to ", changes.rows.size()));
  for (std::size_t c = 1; c < kLabel; ++c) {
    const auto place = std::ranges::find(changes.columns, kLabelColumns[c]) - changes.columns.begin();
    const std::string expected = cell_text(changes.rows[number - 1][static_cast<std::size_t>(place)]);
    if (table.field(row, c) != expected) table.refuse(row, c, concat("'", expected, "', as this model, text and seed give"));
  }
  return number;
}

/// Throws what CsvTable throws, and argument_invalid for a label that is neither near nor far, or one of another case than the
/// row of that number.
Labels read_labels(const std::filesystem::path& path, const Table& changes) {
  const CsvTable table(path, {kLabelColumns.begin(), kLabelColumns.end()});
  Labels labels(changes.rows.size());
  for (std::size_t row = 0; row < table.n_rows(); ++row) {
    const std::string label(table.field(row, kLabel));
    if (label.empty()) continue;
    if (label != "near" && label != "far") table.refuse(row, kLabel, "near, far or nothing");
    labels[case_number(table, row, changes) - 1] = label;
  }
  return labels;
}

std::filesystem::path earlier_file(const Workbench& bench) {
  return bench.options().out / "last-layer-changes" / "changes.csv";
}

/// Whether an earlier run left a file with a label of another case than this run's, or one that is no longer such a CSV. What
/// a person wrote there is not to be written over.
bool has_labels_of_other_cases(const std::filesystem::path& path, const Table& changes) {
  if (!std::filesystem::exists(path)) return false;
  try {
    const CsvTable table(path, {kLabelColumns.begin(), kLabelColumns.end()});
    for (std::size_t row = 0; row < table.n_rows(); ++row) {
      if (!table.field(row, kLabel).empty()) case_number(table, row, changes);
    }
    return false;
  } catch (const Error&) {
    return true;
  }
}

/// One annotator after the other, those whose folders have labels of changes; without such folders, what an earlier run left
/// (if `with_earlier`). A case that none of them labels keeps the label it has there.
std::vector<Labels> all_labels(const Workbench& bench, const Table& changes, bool with_earlier) {
  std::vector<Labels> annotators;
  for (const auto& folder : bench.options().annotations) {
    if (std::filesystem::exists(folder / "changes.csv")) annotators.push_back(read_labels(folder / "changes.csv", changes));
  }
  const std::filesystem::path earlier = earlier_file(bench);
  if (!with_earlier || !std::filesystem::exists(earlier)) return annotators;
  Labels left = read_labels(earlier, changes);
  if (annotators.empty()) return {left};
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (std::ranges::all_of(annotators, [&](const Labels& labels) { return labels[i].empty(); })) annotators[0][i] = left[i];
  }
  return annotators;
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

/// The cases to label, without labels.
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
  return changes;
}

/// The share of changed examples whose new token is not the layer's own.
Estimate composed_share(const Workbench& bench, const LayerPass& pass, const std::vector<std::size_t>& changed) {
  const auto n_composed = std::ranges::count_if(changed, [&](std::size_t i) {
    const std::size_t at = pass.at(i, pass.n_layers - 1);
    return pass.output[at] != pass.ffn[at];
  });
  return estimate_share(static_cast<std::size_t>(n_composed), changed.size(),
                        bench.random("last-layer-changes/interval/composed"));
}

/// Of the cases that both labelled, bootstrapped over cases.
Estimate kappa_of(const Labels& first, const Labels& second, Random random) {
  std::vector<std::size_t> pairs;  // 2 a + b of the classes that the two chose, far 0 and near 1
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i].empty() || second[i].empty()) continue;
    pairs.push_back((first[i] == "near" ? 1U : 0U) * 2U + (second[i] == "near" ? 1U : 0U));
  }
  return estimate_statistic(
      pairs.size(),
      [&](std::span<const std::size_t> chosen) {
        std::array<double, 4> counts{};
        for (const std::size_t i : chosen) counts[pairs[i]] += 1.0;
        return cohens_kappa(counts, 2);
      },
      random);
}

/// Writes each case's first label into the table, and what all labels say, if there are any, into the result.
void add_labels(const Workbench& bench, const std::vector<Labels>& annotators, Table& changes, Result& result) {
  std::vector<double> far(changes.rows.size(), 0.0);
  std::vector<double> labelled(changes.rows.size(), 0.0);
  for (const Labels& labels : annotators) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i].empty()) continue;
      labelled[i] += 1.0;
      far[i] += labels[i] == "far" ? 1.0 : 0.0;
      if (cell_text(changes.rows[i].back()).empty()) changes.rows[i].back() = labels[i];
    }
  }
  const Estimate share = estimate_grouped_share(far, labelled, bench.random("last-layer-changes/interval/far"));
  if (share.n == 0) return;
  result.run_found += fmt::format(" Of {} labels {} are of a token far in meaning.", share.n, percent(share));
  result.estimates.emplace_back("far", share);
  if (annotators.size() != 2) return;
  const Estimate kappa = kappa_of(annotators[0], annotators[1], bench.random("last-layer-changes/kappa"));
  result.estimates.emplace_back("Cohen's kappa", kappa);
  if (std::isnan(kappa.value)) return;  // no case has two labels, or both annotators used one label alone
  result.run_found += fmt::format(" On {} cases that both annotators labelled, Cohen's kappa is {:.2f} ({:.2f} to {:.2f}).",
                                  kappa.n, kappa.value, kappa.low, kappa.high);
}

}  // namespace

Result last_layer_changes(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const std::vector<std::size_t> changed = changed_examples(pass);
  const Estimate share = estimate_share(changed.size(), pass.examples.size(), bench.random("last-layer-changes/interval"));
  const Estimate composed = composed_share(bench, pass, changed);
  Table changes = change_table(bench, pass, changed);
  Result result{.name = "last-layer-changes", .title = "What the last feed-forward layer changes"};
  result.paper_place = "section 5.2";
  result.paper_found =
      "Of 100 random examples whose prediction the last feed-forward layer changed, 66 changed to a token that is far in "
      "meaning from the one before, and 34 to a related one.";
  result.run_found = fmt::format(
      "The last feed-forward layer changes the prediction in {} of the examples; in {} of these cases the new token is not the "
      "one that the layer's own output predicts. ",
      percent(share), percent(composed));
  const bool keep = has_labels_of_other_cases(earlier_file(bench), changes);
  result.run_found +=
      keep ? "changes.csv in this folder has labels of other cases, of another model, text or seed, and was left "
             "as it is; this run's cases are not written down."
           : fmt::format("{} cases are written down to be labelled.", changes.rows.size());
  result.settings = stream_settings(bench, pass.examples, "stream lens", bench.options().stream_lens);
  result.settings.emplace_back("changed", "top(r) is not top(o) in the last layer");
  result.settings.emplace_back("cases to label", std::to_string(changes.rows.size()));
  result.estimates.emplace_back("changed", share);
  result.estimates.emplace_back("changed to a token not the layer's own", composed);
  add_labels(bench, all_labels(bench, changes, !keep), changes, result);
  if (keep) {
    result.kept.emplace_back("changes.csv");
  } else {
    result.tables.push_back(std::move(changes));
  }
  result.materials.push_back({"instructions.txt", "How to label the changes", std::string(kInstructions)});
  return result;
}

}  // namespace ffmem::tools
