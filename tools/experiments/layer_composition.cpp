#include "tools/experiments/layer_composition.hpp"

#include <fmt/format.h>

#include <array>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"
#include "tools/experiments/settings.hpp"

namespace ffmem::tools {
namespace {

/// top(o) against top(r) and top(y).
enum Case : std::size_t { kResidual, kAgreement, kFfn, kComposition, kOverruled, kNumCases };
constexpr std::array<const char*, kNumCases> kCaseNames{"residual", "agreement", "ffn", "composition", "overruled"};

Case case_of(TokenId residual, TokenId ffn, TokenId output) {
  if (residual == ffn) return output == residual ? kAgreement : kOverruled;
  if (output == residual) return kResidual;
  return output == ffn ? kFfn : kComposition;
}

/// Per case its share in each layer.
using CaseShares = std::array<std::vector<Estimate>, kNumCases>;

CaseShares case_shares(const Workbench& bench, const LayerPass& pass) {
  CaseShares shares;
  for (std::size_t c = 0; c < kNumCases; ++c) {
    shares[c] = layer_shares(bench, pass, fmt::format("layer-composition/{}", kCaseNames[c]),
                             [&](std::size_t at) { return case_of(pass.residual[at], pass.ffn[at], pass.output[at]) == c; });
  }
  return shares;
}

Table layer_table(const LayerPass& pass, const CaseShares& shares) {
  Table table{
      .name = "layers",
      .caption = fmt::format(
          "Per layer, the shares of {} prefixes by whose prediction that of the layer's output o is: residual (r's, not "
          "y's), agreement (r's and y's), ffn (y's, not r's), composition (neither, and r and y differ), overruled "
          "(neither, though r and y agree: impossible where the score is linear); with 95 % intervals",
          pass.examples.size()),
      .columns = interval_columns("layer", {kCaseNames.begin(), kCaseNames.end()}),
      .rows = {}};
  table.columns.insert(table.columns.begin() + 1, "examples");
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    auto& row = table.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    for (const auto& of_case : shares) add_interval(row, of_case[layer]);
  }
  return table;
}

Figure share_figure(const CaseShares& shares) {
  Figure figure{.name = "layer-composition",
                .title = "Whose prediction the layer's output makes",
                .samples = {.of = "prefixes"},
                .x_label = "layer",
                .y_label = "share of examples",
                .kind = Figure::Kind::stacked,
                .series = {kCaseNames.begin(), kCaseNames.end()},
                .data = {.columns = {"layer"}},
                .paper = {},
                .y_max = 1.0};
  for (const char* name : kCaseNames) figure.data.columns.emplace_back(name);
  for (std::size_t layer = 0; layer < shares.front().size(); ++layer) {
    auto& row = figure.data.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1)});
    for (const auto& of_case : shares) {
      row.emplace_back(of_case[layer].value);
      figure.samples.add(of_case[layer].n);
    }
  }
  return figure;
}

/// Shares over all layers: how many of the layers where `whole` holds are of `part`, bootstrapped over examples.
template <class Part, class Whole>
Estimate overall_share(const Workbench& bench, const LayerPass& pass, const char* purpose, Part&& part, Whole&& whole) {
  std::vector<double> parts(pass.examples.size(), 0.0);
  std::vector<double> wholes(pass.examples.size(), 0.0);
  for (std::size_t i = 0; i < pass.examples.size(); ++i) {
    for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
      const std::size_t at = pass.at(i, layer);
      const Case found = case_of(pass.residual[at], pass.ffn[at], pass.output[at]);
      parts[i] += part(found) ? 1.0 : 0.0;
      wholes[i] += whole(found) ? 1.0 : 0.0;
    }
  }
  return estimate_grouped_share(parts, wholes, bench.random(fmt::format("layer-composition/overall/{}", purpose)));
}

/// What holds over all layers, in words and among the result's estimates.
std::string found_text(const Workbench& bench, const LayerPass& pass, Result& result) {
  const auto share = [&](const char* name, auto&& part, auto&& whole) {
    const Estimate found = overall_share(bench, pass, name, part, whole);
    result.estimates.emplace_back(name, found);
    return percent(found);
  };
  const auto any = [](Case) { return true; };
  const auto is = [](Case wanted) { return [wanted](Case found) { return found == wanted; }; };
  const auto kept = [](Case found) { return found == kResidual || found == kAgreement; };
  const std::string residual = share("prediction kept", kept, any);
  const std::string agreement = share("agreement", is(kAgreement), any);
  const std::string ffn = share("ffn", is(kFfn), any);
  const std::string composition = share("composition", is(kComposition), any);
  const std::string of_changes =
      share("compositions among changes", is(kComposition), [&](Case found) { return !kept(found); });
  return fmt::format(
      "Over all layers the output keeps the residual stream's prediction in {} of the cases ({} where the feed-forward layer "
      "makes it too), takes over the feed-forward layer's in {}, and makes one that neither makes in {}. Of the changes {} are "
      "compositions. r and y agreeing on what o does not predict: {}.",
      residual, agreement, ffn, composition, of_changes, share("overruled", is(kOverruled), any));
}

}  // namespace

Result layer_composition(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  const CaseShares shares = case_shares(bench, pass);
  Result result{.name = "layer-composition",
                .title = "How a layer's prediction comes from residual stream and feed-forward layer"};
  result.paper_place = "section 5.2, Figure 11";
  result.paper_found =
      "Most often the output keeps the residual stream's prediction; rarely does the feed-forward layer's replace it. Where "
      "the prediction changes, it mostly becomes one that neither of them makes: a composition.";
  result.run_found = found_text(bench, pass, result);
  result.settings = stream_settings(bench, pass.examples, "stream lens", bench.options().stream_lens);
  for (std::size_t c = 0; c < kNumCases; ++c) add_estimates(result, kCaseNames[c], shares[c]);
  result.tables.push_back(layer_table(pass, shares));
  result.figures.push_back(share_figure(shares));
  return result;
}

}  // namespace ffmem::tools
