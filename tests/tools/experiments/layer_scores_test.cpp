// The authors' scores (`SequenceScorer._get_layer_residual_scores`) of the fairseq models that have them stored, reproduced by
// the layer pass. FFMEM_ORACLES names another folder to search (tests/data/README.md).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/loaders/temporary_folder.hpp"
#include "tests/runtime/oracle.hpp"
#include "tools/experiments/layer_pass.hpp"
#include "tools/experiments/layer_rows.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

using Tokens = std::vector<TokenId>;

/// Every position of a sequence as an example: prefixes of its own tokens, from none to all.
ExampleSet every_position(const Tokens& sequence) {
  ExampleSet set;
  set.sentences = {0};
  set.tokens.assign(sequence.begin() + 1, sequence.end());
  set.tokens.push_back(0);  // behind the last prefix
  set.offsets = {0, set.tokens.size()};
  for (std::size_t length = 0; length < sequence.size(); ++length) set.examples.push_back({0, length});
  return set;
}

/// The stored scores of one sequence and layer.
class StoredScores {
 public:
  StoredScores(const SafetensorsFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}
  std::int64_t count(const char* name, std::size_t position) const { return at(name).values<std::int64_t>()[position]; }
  double probability(const char* name, std::size_t position) const {
    return static_cast<double>(at(name).values<float>()[position]);
  }

 private:
  const StoredTensor& at(const char* name) const { return file_.at(prefix_ + name); }
  const SafetensorsFile& file_;
  std::string prefix_;
};

/// Log-probabilities of each row under the model's own softmax.
std::vector<std::vector<float>> distributions(const Model& model, ConstMatrixView rows) {
  std::vector<std::vector<float>> result(rows.rows, std::vector<float>(model.head().vocab_size()));
  for (std::size_t r = 0; r < rows.rows; ++r) {
    model.head().log_probabilities(rows.rows_between(r, r + 1), MatrixView(result[r].data(), 1, result[r].size()));
  }
  return result;
}

void check_vector(const StoredScores& stored, std::size_t t, const std::vector<float>& log_p, TokenId output,
                  const std::string& name) {
  const auto score = log_p[static_cast<std::size_t>(output)];
  const auto rank = std::ranges::count_if(log_p, [&](float x) { return x > score; });
  CHECK(std::abs(rank - stored.count((name + "_output_rank").c_str(), t)) <= 1);
  const auto best = std::ranges::max_element(log_p);
  CHECK(best - log_p.begin() == stored.count((name + "_argmax").c_str(), t));
  const double expected = stored.probability((name + "_argmax_prob").c_str(), t);
  CHECK(std::abs(std::exp(static_cast<double>(*best)) - expected) < 2e-4);
}

void check_layer(Workbench& bench, const LayerPass& pass, const LayerRows& rows, std::size_t layer,
                 const StoredScores& stored) {
  const Model& model = *bench.model();
  const std::size_t n = pass.examples.size();
  const auto of_layer = [&](ConstMatrixView all) { return all.rows_between(layer * n, (layer + 1) * n); };
  const auto residual = distributions(model, of_layer(rows.residual()));
  const auto ffn = distributions(model, of_layer(rows.ffn()));
  const ValuePredictions values(bench);
  for (std::size_t t = 0; t < n; ++t) {
    CAPTURE(t);
    const std::size_t at = pass.at(t, layer);
    const TokenId output = pass.final_prediction(t);
    CHECK(pass.output[at] == stored.count("layer_output_argmax", t));
    CHECK(pass.residual[at] == stored.count("residual_argmax", t));
    CHECK(pass.ffn[at] == stored.count("ffn_argmax", t));
    CHECK((pass.output[at] != pass.ffn[at]) == (stored.count("residual_argmax_change", t) != 0));
    CHECK(std::abs(std::exp(static_cast<double>(pass.log_p_final[at])) - stored.probability("residual_output_prob", t)) < 2e-4);
    CHECK(pass.active[at] == stored.count("active_memories", t));
    check_vector(stored, t, residual[t], output, "residual");
    check_vector(stored, t, ffn[t], output, "ffn");
    // The authors compare each weighted value with the layer's output, not with y.
    std::vector<ValuePredictions::Open> open;
    const std::size_t sure = values.count_weighted(layer, of_layer(rows.coefficients()).row(t), pass.output[at], t, open);
    const auto agreeing = sure + static_cast<std::size_t>(std::ranges::count(values.decide(open), true));
    CHECK(std::abs(static_cast<std::int64_t>(agreeing) - stored.count("ffn_matching_dims_count", t)) <=
          stored.count("ffn_matching_dims_ambiguous", t));
  }
}

void check_sequence(Workbench& bench, const SafetensorsFile& scores, const Tokens& sequence, const std::string& name) {
  const LayerPass pass = measure_layers(bench, ValuePredictions(bench), every_position(sequence));
  LayerRows rows(bench.model()->config(), 0, sequence.size());
  const ExampleBatch batch = next_batch(pass.examples, 0, bench.prefix_token(), sequence.size(), sequence.size());
  REQUIRE(batch.tokens == sequence);
  rows.begin(batch);
  const std::vector<Hook*> hooks{&rows};
  Session session(bench.model(), {.context = sequence.size(), .keep_cache = false});
  session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    CAPTURE(layer);
    check_layer(bench, pass, rows, layer, StoredScores(scores, concat(name, ".layer", layer, ".scores.")));
  }
}

}  // namespace

TEST_CASE("layer_pass: the authors' scores of every position (oracle)") {
  std::size_t n_checked = 0;
  for (const auto& folder : oracle_folders(OracleKind::fairseq)) {
    const Oracle oracle(folder);
    const auto beside = folder / "scores.safetensors";
    const SafetensorsFile scores(std::filesystem::exists(beside) ? beside : folder / "oracle.safetensors");
    if (scores.find("seq1.layer0.scores.active_memories") == nullptr) continue;
    CAPTURE(folder);
    const TemporaryFolder out;
    ExperimentOptions options;
    options.model.folder = folder;
    options.out = out.path();
    options.quiet = true;
    Workbench bench(options);
    std::size_t s = 0;
    for (const auto& sequence : oracle.description.at("sequences")) {
      CAPTURE(s);
      check_sequence(bench, scores, sequence.at("tokens").get<Tokens>(), concat("seq", s++));
    }
    ++n_checked;
  }
  CHECK((n_checked > 0 || oracles_elsewhere()));
}
