#include "tests/tools/experiments/experiment_models.hpp"

#include <algorithm>

#include "loaders/mapped_file.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/error.hpp"

namespace ffmem {

using namespace tools;

namespace {

/// Sentences of 1 to max_words words, one a line.
std::string made_up_text(std::size_t n_sentences, std::size_t max_words, const std::string& word) {
  std::string text;
  for (std::size_t s = 0; s < n_sentences; ++s) {
    for (std::size_t w = 0; w < 1 + (s * 7) % max_words; ++w)
      text += concat(w == 0 ? "" : " ", word, 3 + (s * 31 + w * w * 5 + w) % 53);
    text += '\n';
  }
  return text;
}

}  // namespace

ExperimentModel::ExperimentModel(const std::string& golden, std::size_t n_sentences)
    : folder_(std::filesystem::path(FFMEM_TEST_DATA) / golden) {
  const auto words = std::filesystem::path(FFMEM_TEST_DATA) / golden / "dict.txt";
  const bool has_words = std::filesystem::exists(words);
  if (has_words) {
    folder_.write("dict.txt", read_text_file(words));
  } else {
    folder_.add_tokenizer(64);
  }
  const std::string word = has_words ? "word" : "w";
  texts_.write("train.txt", made_up_text(40, 11, word));
  write_text(made_up_text(n_sentences, 19, word));
}

ExperimentOptions ExperimentModel::options(const std::string& out) const {
  ExperimentOptions options;
  options.model.folder = folder_.path();
  options.train = {texts_.path() / "train.txt"};
  options.valid = {texts_.path() / "valid.txt"};
  options.out = texts_.path() / out;
  options.triggers.sentences = SentenceMode::lines;
  options.triggers.top = 5;
  options.removal_keys = 4;
  options.annotated_keys = 2;
  options.annotated_examples = 4;
  options.quiet = true;
  return options;
}

SingleRun::SingleRun(const Workbench& bench, std::span<const TokenId> prefix, std::span<Hook* const> interventions)
    : record_({.points = {Point::residual_mid, Point::coefficients, Point::ffn_out, Point::residual_post}}) {
  std::vector<TokenId> tokens;
  if (bench.prefix_token()) tokens.push_back(*bench.prefix_token());
  tokens.insert(tokens.end(), prefix.begin(), prefix.end());
  std::vector<Hook*> hooks(interventions.begin(), interventions.end());
  hooks.push_back(&record_);
  Session session(bench.model(), {.context = tokens.size(), .keep_cache = false});
  session.run(tokens, LogitsRows::none, hooks);
}

std::vector<float> SingleRun::at(Point point, std::size_t layer) const {
  const ConstMatrixView rows = record_.at(point, layer);
  const auto last = rows.row(rows.rows - 1);
  return {last.begin(), last.end()};
}

std::vector<float> scores(const Model& model, std::vector<float> vector, Lens lens) {
  const AlignedBuffer hidden(model.head().hidden_width());
  std::vector<float> log_p(model.head().vocab_size());
  model.head().to_hidden(ConstMatrixView(vector.data(), 1, vector.size()), lens, hidden.matrix(1, hidden.size()));
  model.head().log_probabilities(hidden.matrix(1, hidden.size()), MatrixView(log_p.data(), 1, log_p.size()));
  return log_p;
}

TokenId best(const std::vector<float>& scores) {
  return static_cast<TokenId>(std::ranges::max_element(scores) - scores.begin());
}

float gap(const std::vector<float>& scores) {
  std::vector<float> sorted = scores;
  std::ranges::sort(sorted, std::greater<>());
  return sorted[0] - sorted[1];
}

Estimate estimate_of(const Result& result, const std::string& name) {
  const auto found = std::ranges::find(result.estimates, name, &std::pair<std::string, Estimate>::first);
  REQUIRE_MESSAGE(found != result.estimates.end(), name);
  return found->second;
}

std::vector<float> value_distribution(const Model& model, std::size_t layer, std::size_t unit) {
  std::vector<float> value(model.config().d_model);
  model.value_row(layer, unit, value.data());
  return scores(model, value, Lens::raw);
}

}  // namespace ffmem
