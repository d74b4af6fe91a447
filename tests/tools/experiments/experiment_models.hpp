// Workbenches over small models, for tests of the experiments, and the vectors that the experiments are about, one prefix at a
// time.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hooks/record.hpp"
#include "runtime/session.hpp"
#include "tests/tools/tiny_model.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem {

/// A golden model ("hf/llama", "fairseq/adaptive") with its word list, or else a tokenizer of the words w0, w1, ..., and a text
/// of such words, a sentence a line.
class ExperimentModel {
 public:
  explicit ExperimentModel(const std::string& golden, std::size_t n_sentences = 12);

  tools::ExperimentOptions options() const;
  void write_text(const std::string& text) const { folder_.write("valid.txt", text); }
  const ModelFolder& folder() const { return folder_; }

 private:
  ModelFolder folder_;
};

/// The golden models between them have: no gate and a gate, parallel wiring, a bias and a projection in the head, norms behind
/// the layer, a soft cap, an adaptive softmax without a final norm.
inline const std::vector<std::string> kExperimentGoldens{
    "hf/gpt2-relu", "hf/gpt2",       "hf/llama",  "hf/gptj",  "hf/gpt_neox-parallel",
    "hf/opt-preln", "hf/opt-postln", "hf/gemma2", "hf/olmo2", "fairseq/adaptive"};

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
