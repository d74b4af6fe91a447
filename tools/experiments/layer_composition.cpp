#include "tools/experiments/layer_composition.hpp"

#include <fmt/format.h>

#include <array>

#include "tools/experiments/intervals.hpp"
#include "tools/experiments/per_layer.hpp"

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

}  // namespace

Result layer_composition(Workbench& bench) {
  const LayerPass pass = layer_pass(bench);
  Table layers{
      .name = "layers",
      .caption = fmt::format(
          "Per layer, the shares of {} prefixes by whose prediction that of the layer's output o is: residual (r's, not "
          "y's), agreement (r's and y's), ffn (y's, not r's), composition (neither, and r and y differ), overruled "
          "(neither, though r and y agree: impossible where the score is linear); with 95 % intervals",
          pass.examples.size()),
      .columns = {"layer", "examples"},
      .rows = {}};
  Figure figure{.name = "layer-composition",
                .title = "Whose prediction the layer's output makes",
                .x_label = "layer",
                .y_label = "share of examples",
                .kind = Figure::Kind::stacked,
                .series = {kCaseNames.begin(), kCaseNames.end()},
                .data = {.columns = {"layer"}},
                .paper = {},
                .y_max = 1.0};
  std::array<std::vector<Estimate>, kNumCases> shares;
  for (std::size_t c = 0; c < kNumCases; ++c) {
    for (const char* part : {"", " low", " high"}) layers.columns.push_back(kCaseNames[c] + std::string(part));
    figure.data.columns.emplace_back(kCaseNames[c]);
    shares[c] = layer_shares(bench, pass, fmt::format("layer-composition/{}", kCaseNames[c]),
                             [&](std::size_t at) { return case_of(pass.residual[at], pass.ffn[at], pass.output[at]) == c; });
  }
  std::array<double, kNumCases> overall{};
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    auto& row = layers.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1), count_cell(pass.examples.size())});
    auto& plotted = figure.data.rows.emplace_back(std::vector<Cell>{count_cell(layer + 1)});
    for (std::size_t c = 0; c < kNumCases; ++c) {
      add_interval(row, shares[c][layer]);
      plotted.emplace_back(shares[c][layer].value);
      overall[c] += shares[c][layer].value / static_cast<double>(pass.n_layers);
    }
  }

  Result result{.name = "layer-composition",
                .title = "How a layer's prediction comes from residual stream and feed-forward layer"};
  result.paper_place = "section 5.2, Figure 11";
  result.paper_found =
      "Most often the output keeps the residual stream's prediction; rarely does the feed-forward layer's replace it. Where "
      "the "
      "prediction changes, it mostly becomes one that neither of them makes: a composition.";
  const double changed = overall[kFfn] + overall[kComposition] + overall[kOverruled];
  result.run_found = fmt::format(
      "Over all layers the output keeps the residual stream's prediction in {} of the cases ({} where the feed-forward layer "
      "makes it too), takes over the feed-forward layer's in {}, and makes one that neither makes in {}. Of the changes {} are "
      "compositions. r and y agreeing on what o does not predict: {}.",
      percent(overall[kResidual] + overall[kAgreement]), percent(overall[kAgreement]), percent(overall[kFfn]),
      percent(overall[kComposition]), changed > 0 ? percent(overall[kComposition] / changed) : "none",
      percent(overall[kOverruled]));
  result.settings = sample_settings(bench, pass.examples);
  for (auto& setting : stream_settings(bench, bench.options().stream_lens)) result.settings.push_back(std::move(setting));
  for (std::size_t c = 0; c < kNumCases; ++c) add_estimates(result, kCaseNames[c], shares[c]);
  result.tables.push_back(std::move(layers));
  result.figures.push_back(std::move(figure));
  return result;
}

}  // namespace ffmem::tools
