// Workbenches over small models, for tests of the experiments, and the vectors that the experiments are about, one prefix at a
// time.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hooks/record.hpp"
#include "runtime/session.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/tools/tiny_model.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem {

/// A golden model ("hf/llama", "fairseq/adaptive") with its word list, or else a tokenizer of the words w0, w1, ..., and
/// made-up texts of such words, a sentence a line: 40 for trigger examples, n_sentences to sample prefixes from.
class ExperimentModel {
 public:
  explicit ExperimentModel(const std::string& golden = "hf/gpt2-relu", std::size_t n_sentences = 12);

  /// Small numbers of everything; results go to `out` in texts().
  tools::ExperimentOptions options(const std::string& out = "out") const;

  /// In place of the text that prefixes are sampled from.
  void write_text(const std::string& text) const { texts_.write("valid.txt", text); }
  const ModelFolder& folder() const { return folder_; }
  const TemporaryFolder& texts() const { return texts_; }

 private:
  ModelFolder folder_;
  TemporaryFolder texts_;
};

/// The golden models between them have: no gate and a gate, parallel wiring, a bias and a projection in the head, norms behind
/// the layer, a soft cap, an adaptive softmax without a final norm.
inline const std::vector<std::string> kExperimentGoldens{
    "hf/gpt2-relu", "hf/gpt2",       "hf/llama",  "hf/gptj",  "hf/gpt_neox-parallel",
    "hf/opt-preln", "hf/opt-postln", "hf/gemma2", "hf/olmo2", "fairseq/adaptive"};

/// Fewer, for what does not depend on wiring and norms: plain ReLU, gated with an untied head, and an adaptive softmax.
inline const std::vector<std::string> kKeyValueGoldens{"hf/gpt2-relu", "hf/llama", "fairseq/adaptive"};

/// Calls test(Workbench&) for each of kKeyValueGoldens.
template <class Test>
void for_each_key_value_model(Test test) {
  for (const std::string& golden : kKeyValueGoldens) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    tools::Workbench bench(model.options());
    test(bench);
  }
}

/// The result's estimate of that name; fails the test if it has none.
tools::Estimate estimate_of(const tools::Result& result, const std::string& name);

/// Log-probabilities of the vocabulary for a value, put bare into the softmax.
std::vector<float> value_distribution(const Model& model, std::size_t layer, std::size_t unit);

/// Equal, or both NaN.
inline bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// Everything that one run of one prefix shows at its last position.
class SingleRun {
 public:
  SingleRun(const tools::Workbench& bench, std::span<const TokenId> prefix, std::span<Hook* const> interventions = {});

  std::vector<float> at(Point point, std::size_t layer) const;

 private:
  Record record_;
};

/// Log-probabilities of the whole vocabulary for one vector.
std::vector<float> scores(const Model& model, std::vector<float> vector, Lens lens);

TokenId best(const std::vector<float>& scores);

/// How far the best score is above the second.
float gap(const std::vector<float>& scores);

}  // namespace ffmem
