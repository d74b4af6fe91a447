#include "tools/experiments/annotation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kShownPrefixes = 3;

/// Prefixes of one key by class.
using Counts = std::array<double, kCoverages>;

Counts count_classes(const KeyAnnotation& key) {
  Counts counts{};
  for (std::size_t e = 0; e < key.examples.size(); ++e) counts[static_cast<std::size_t>(coverage(key, e))] += 1.0;
  return counts;
}

/// One annotator's view of one key.
struct KeyView {
  std::size_t annotator = 0;
  const KeyToAnnotate* key = nullptr;
  const KeyAnnotation* found = nullptr;
};

struct Annotated {
  std::vector<KeyToAnnotate> keys;
  std::vector<std::vector<KeyAnnotation>> annotators;

  /// The views of a layer, or of all.
  std::vector<KeyView> views(std::optional<std::size_t> layer = std::nullopt) const {
    std::vector<KeyView> views;
    for (std::size_t a = 0; a < annotators.size(); ++a) {
      for (std::size_t k = 0; k < keys.size(); ++k) {
        if (!layer || keys[k].layer == *layer) views.push_back({.annotator = a, .key = &keys[k], .found = &annotators[a][k]});
      }
    }
    return views;
  }
};

/// The share of prefixes in the classes. What several annotators found in one key counts as one thing in the resampling.
Estimate share_of(const std::vector<KeyView>& views, std::initializer_list<Coverage> classes, Random random) {
  std::map<const KeyToAnnotate*, std::size_t> places;
  std::vector<double> parts;
  std::vector<double> wholes;
  for (const KeyView& view : views) {
    const std::size_t place = places.emplace(view.key, places.size()).first->second;
    parts.resize(places.size());
    wholes.resize(places.size());
    const Counts counts = count_classes(*view.found);
    for (const Coverage c : classes) parts[place] += counts[static_cast<std::size_t>(c)];
    wholes[place] += static_cast<double>(view.found->examples.size());
  }
  return estimate_grouped_share(parts, wholes, random);
}

/// The same for the number of patterns: a mean over annotators, then over keys.
Estimate patterns_per_key(const std::vector<KeyView>& views, std::size_t n_annotators, Random random) {
  std::map<const KeyToAnnotate*, std::size_t> places;
  std::vector<double> means;
  for (const KeyView& view : views) {
    const std::size_t place = places.emplace(view.key, places.size()).first->second;
    means.resize(places.size());
    means[place] += static_cast<double>(view.found->patterns.size()) / static_cast<double>(n_annotators);
  }
  return estimate_mean(means, random);
}

/// Figure 2 and its table.
void add_layers(const Annotated& annotated, const Workbench& bench, Result& result) {
  Table table{.name = "layers",
              .caption =
                  "Per layer, over the prefixes of all annotators: the shares that have shallow patterns only, both kinds, "
                  "semantic ones only, or none, and the patterns of a key, with 95 % intervals (bootstrap over keys)",
              .columns = interval_columns("layer", {kCoverageNames.begin(), kCoverageNames.end()}),
              .rows = {}};
  for (const char* column : {"patterns per key", "patterns per key low", "patterns per key high", "prefixes"}) {
    table.columns.emplace_back(column);
  }
  Figure figure{.name = "coverage",  // annotation.csv is a sheet that people fill in
                .title = "Patterns in the trigger examples of a key, as annotated",
                .samples = {.of = "prefixes read"},
                .x_label = "layer",
                .y_label = "share of trigger examples",
                .kind = Figure::Kind::stacked,
                .series = {kCoverageNames.begin(), kCoverageNames.end()},
                .data = {.columns = {"layer"}},
                .y_max = 1.0};
  figure.data.columns.insert(figure.data.columns.end(), kCoverageNames.begin(), kCoverageNames.end());
  for (std::size_t layer = 0; layer < bench.n_layers(); ++layer) {
    const std::vector<KeyView> views = annotated.views(layer);
    std::vector<Cell> row{count_cell(layer + 1)};
    std::vector<Cell> stack{count_cell(layer + 1)};
    std::size_t n = 0;
    for (std::size_t c = 0; c < kCoverages; ++c) {
      const Random random = bench.random(fmt::format("annotation/interval/{}/{}", layer, c));
      const Estimate share = share_of(views, {static_cast<Coverage>(c)}, random);
      add_interval(row, share);
      stack.emplace_back(share.value);
      figure.samples.add(share.n);
      n = share.n;
      result.estimates.emplace_back(fmt::format("layer {} {}", layer + 1, kCoverageNames[c]), share);
    }
    add_interval(
        row, patterns_per_key(views, annotated.annotators.size(), bench.random(fmt::format("annotation/patterns/{}", layer))));
    row.push_back(count_cell(n));
    table.rows.push_back(std::move(row));
    figure.data.rows.push_back(std::move(stack));
  }
  result.tables.push_back(std::move(table));
  result.figures.push_back(std::move(figure));
}

Table pattern_table(const Annotated& annotated, const Tokenizer& tokenizer) {
  Table table{
      .name = "found-patterns",
      .caption = fmt::format("Every pattern, in the form of the paper's Table 1: key, what it is, and up to {} of the prefixes "
                             "that have it (layers from 1, units from 0)",
                             kShownPrefixes),
      .columns = {"annotator", "layer", "unit", "pattern", "type", "description", "prefixes"},
      .rows = {}};
  for (std::size_t i = 1; i <= kShownPrefixes; ++i) table.columns.push_back(fmt::format("prefix {}", i));
  for (const KeyView& view : annotated.views()) {
    for (std::size_t p = 0; p < view.found->patterns.size(); ++p) {
      const Pattern& pattern = view.found->patterns[p];
      std::vector<Cell> row{count_cell(view.annotator + 1),
                            count_cell(view.key->layer + 1),
                            count_cell(view.key->unit),
                            count_cell(pattern.number),
                            pattern.type == PatternType::shallow ? "shallow" : "semantic",
                            pattern.description,
                            count_cell(pattern.n_prefixes)};
      for (std::size_t e = 0; e < view.found->examples.size() && row.size() < table.columns.size(); ++e) {
        const auto& has = view.found->examples[e];
        if (std::ranges::find(has, p) != has.end()) row.emplace_back(tokenizer.decode(view.key->examples[e].prefix));
      }
      row.resize(table.columns.size(), std::string());
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

/// What was found over all keys, in words and among the result's estimates.
std::string found_text(const Annotated& annotated, const Workbench& bench, Result& result) {
  const std::vector<KeyView> views = annotated.views();
  std::size_t n_with_pattern = 0;
  for (std::size_t k = 0; k < annotated.keys.size(); ++k) {
    n_with_pattern +=
        std::ranges::any_of(annotated.annotators, [&](const auto& found) { return !found[k].patterns.empty(); }) ? 1 : 0;
  }
  const Estimate per_key = patterns_per_key(views, annotated.annotators.size(), bench.random("annotation/patterns"));
  const Estimate covered =
      share_of(views, {Coverage::shallow, Coverage::both, Coverage::semantic}, bench.random("annotation/covered"));
  result.estimates.emplace_back("patterns per key", per_key);
  result.estimates.emplace_back("covered prefixes", covered);
  const std::size_t n_people = annotated.annotators.size();
  std::string text = fmt::format(
      "{} annotated {} keys. {} have a pattern, and there are {:.1f} ({:.1f} to {:.1f}) a key on average; {:.1f} % of {} "
      "prefixes read "
      "are covered.",
      n_people == 1 ? "One person" : fmt::format("{} people", n_people), annotated.keys.size(), n_with_pattern, per_key.value,
      per_key.low, per_key.high, 100.0 * covered.value, covered.n);
  if (n_people != 2) return text;
  const Estimate kappa = cohens_kappa(annotated.annotators[0], annotated.annotators[1], bench.random("annotation/kappa"));
  result.estimates.emplace_back("Cohen's kappa", kappa);
  if (std::isnan(kappa.value)) return text;  // chance alone makes them agree: both found nothing, or one class everywhere
  return text + fmt::format(" Their classes of prefixes agree with a Cohen's kappa of {:.2f} ({:.2f} to {:.2f}).", kappa.value,
                            kappa.low, kappa.high);
}

/// What has been filled in is not written over, and what explains it stays beside it.
void keep_filled_in(Sheets sheets, Result& result) {
  if (sheets == Sheets::blank) return;
  const auto n_written = sheets == Sheets::filled_in ? 1 : 0;  // the instructions, which are last
  const auto first_written = result.materials.end() - n_written;
  for (auto kept = result.materials.begin(); kept != first_written; ++kept) result.kept.push_back(kept->name);
  result.materials.erase(result.materials.begin(), first_written);
}

std::string material_text(const Annotated& annotated, Sheets sheets) {
  std::size_t n_prefixes = 0;
  for (const KeyToAnnotate& key : annotated.keys) n_prefixes += key.examples.size();
  const std::string size = fmt::format("{} prefixes of {} keys", n_prefixes, annotated.keys.size());
  if (sheets == Sheets::of_other_keys) {
    return fmt::format(
        " annotation.csv and patterns.csv in this folder have been filled in for other keys, of another model, text or seed, "
        "or are no longer as they were written, and were left as they are; this run's material, {}, is not written.",
        size);
  }
  if (!annotated.annotators.empty()) return "";
  return fmt::format(
      " The material has {}.{}", size,
      sheets == Sheets::filled_in ? " The files of this folder have been filled in and were left as they are." : "");
}

}  // namespace

Estimate cohens_kappa(std::span<const KeyAnnotation> first, std::span<const KeyAnnotation> second, Random random) {
  using Pairs = std::array<double, kCoverages * kCoverages>;
  std::vector<Pairs> keys(first.size());
  std::size_t n_prefixes = 0;
  for (std::size_t k = 0; k < first.size(); ++k) {
    n_prefixes += first[k].examples.size();
    for (std::size_t e = 0; e < first[k].examples.size(); ++e) {
      const auto a = static_cast<std::size_t>(coverage(first[k], e));
      const auto b = static_cast<std::size_t>(coverage(second[k], e));
      keys[k][a * kCoverages + b] += 1.0;
    }
  }
  const auto kappa = [&](std::span<const std::size_t> chosen) {
    Pairs sum{};
    for (const std::size_t k : chosen) {
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += keys[k][c];
    }
    return cohens_kappa(sum, kCoverages);
  };
  Estimate estimate = estimate_statistic(keys.size(), kappa, random);
  estimate.n = n_prefixes;
  return estimate;
}

Result annotation(Workbench& bench) {
  const ExperimentOptions& options = bench.options();
  Annotated annotated{.keys = keys_to_annotate(bench), .annotators = {}};
  for (const auto& folder : options.annotations) {
    if (!std::filesystem::exists(folder / "annotation.csv")) continue;  // it may hold another experiment's labels alone
    annotated.annotators.push_back(read_annotations(folder, annotated.keys));
  }

  Result result{.name = "annotation",
                .title = "Patterns that people find in trigger examples",
                .paper_place = "section 3, Table 1 and Figure 2",
                .paper_found =
                    "At least one pattern was found for every one of 160 keys, 3.6 a key on average, and 65 to 80 % of the "
                    "prefixes have one. Patterns are mostly shallow in layers 1 to 9 and more semantic in 10 to 16.",
                .settings = trigger_settings(bench)};
  result.settings.emplace_back("keys per layer", std::to_string(options.annotated_keys));
  result.settings.emplace_back("keys are drawn from", "those with a trigger example");
  const std::size_t n_prefixes = std::min(options.annotated_examples, bench.triggers().top());
  result.settings.emplace_back(
      "prefixes per key",
      fmt::format("{} at most{}", n_prefixes,
                  n_prefixes < kLeastPrefixes ? fmt::format(", and so none of the {} of a pattern", kLeastPrefixes) : ""));
  result.settings.emplace_back("annotators", std::to_string(annotated.annotators.size()));
  result.settings.emplace_back("Cohen's kappa over", "prefixes, by class: shallow, shallow + semantic, semantic, not covered");
  result.materials = annotation_material(annotated.keys, *bench.tokenizer(), options.triggers.smallest);
  const Sheets sheets = sheets_in(options.out / result.name, annotated.keys);
  keep_filled_in(sheets, result);
  result.run_found = annotated.annotators.empty() ? "Nobody has annotated this run yet." : found_text(annotated, bench, result);
  result.run_found += material_text(annotated, sheets);
  if (annotated.annotators.empty()) return result;
  add_layers(annotated, bench, result);
  result.tables.push_back(pattern_table(annotated, *bench.tokenizer()));
  return result;
}

}  // namespace ffmem::tools
