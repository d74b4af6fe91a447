// fairseq's language models against stored numbers (tests/data/fairseq, made by tests/data/make_fairseq_goldens.py; see
// oracle.hpp for running others): activations, log-probabilities, and the words of every value through the output softmax.
#include <cmath>
#include <numeric>

#include "hooks/record.hpp"
#include "ops/aligned_buffer.hpp"
#include "runtime/output_head.hpp"
#include "tests/runtime/oracle.hpp"

namespace ffmem {
namespace {

// What float32 against float64 leaves room for: log-probabilities reach -136, activations 50.
constexpr Tolerance kActivation{.absolute = 2e-5, .relative = 2e-5};
constexpr Tolerance kLogProbability{.absolute = 1.5e-4};
constexpr Tolerance kValueLogProbability{.absolute = 2e-5};

using Tokens = std::vector<TokenId>;

template <class Test>
void for_each_oracle(Test test) {
  const auto folders = oracle_folders(OracleKind::fairseq);
  CHECK((!folders.empty() || oracles_elsewhere()));
  for (const auto& folder : folders) {
    const Oracle oracle(folder);
    for (const auto& backend : all_backends()) {
      CAPTURE(folder);
      CAPTURE(backend->description());
      test(oracle, Model::load(folder, {.backend = backend}));
    }
  }
}

std::vector<Tokens> sequences_of(const Oracle& oracle) {
  std::vector<Tokens> sequences;
  for (const auto& sequence : oracle.description.at("sequences")) sequences.push_back(sequence.at("tokens").get<Tokens>());
  return sequences;
}

AlignedBuffer log_probabilities(const OutputHead& head, ConstMatrixView hidden) {
  AlignedBuffer buffer(hidden.rows * head.vocab_size());
  head.log_probabilities(hidden, buffer.matrix(hidden.rows, head.vocab_size()));
  return buffer;
}

/// The rows of `values` as the head's input: every value put bare into the softmax.
AlignedBuffer values_of(const Model& model, std::size_t layer) {
  AlignedBuffer rows(model.config().d_memory * model.config().d_model);
  for (std::size_t i = 0; i < model.config().d_memory; ++i) {
    model.value_row(layer, i, rows.data() + i * model.config().d_model);
  }
  return rows;
}

/// Compares the best word of each row, through the softmax and no norm, with ids stored under `name`, where there are any.
void check_best_words(const Oracle& oracle, const std::string& name, const OutputHead& head, ConstMatrixView rows) {
  if (oracle.tensors.find(name) == nullptr) return;
  CAPTURE(name);
  const TopTokens top = head.top_tokens(rows, 1);
  const std::span<const std::int64_t> expected = oracle.at(name).values<std::int64_t>();
  CHECK(std::ranges::equal(expected, top.tokens));
}

void check_sequence(const Oracle& oracle, const Model& model, const Record& record, std::size_t s, Comparison& comparison) {
  const std::string sequence = "seq" + std::to_string(s) + ".";
  for (std::size_t l = 0; l < model.config().n_layers; ++l) {
    const std::string layer = sequence + "layer" + std::to_string(l) + ".";
    comparison.check(oracle.at(layer + "residual"), record.at(Point::residual_mid, l), kActivation);
    comparison.check(oracle.at(layer + "fc1"), record.at(Point::key_scores, l), kActivation);
    comparison.check(oracle.at(layer + "ffn_out"), record.at(Point::ffn_out, l), kActivation);
    comparison.check(oracle.at(layer + "out"), record.at(Point::residual_post, l), kActivation);
    check_best_words(oracle, layer + "scores.residual_argmax", model.head(), record.at(Point::residual_mid, l));
    check_best_words(oracle, layer + "scores.ffn_argmax", model.head(), record.at(Point::ffn_out, l));
    check_best_words(oracle, layer + "scores.layer_output_argmax", model.head(), record.at(Point::residual_post, l));
  }
  comparison.check(oracle.at(sequence + "embed"), record.at(Point::residual_pre, 0), kActivation);
  comparison.check(oracle.at(sequence + "decoder_out"), record.at(Point::final_hidden), kActivation);
  const AlignedBuffer words = log_probabilities(model.head(), record.at(Point::final_hidden));
  const ConstMatrixView found = words.matrix(record.at(Point::final_hidden).rows, model.config().vocab_size);
  comparison.check(oracle.at(sequence + "logprobs"), found, kLogProbability);
}

}  // namespace

TEST_CASE("fairseq oracle: activations and log-probabilities agree with the reference") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    Comparison comparison(oracle.name() + ", " + model->backend().description());
    const std::vector<Tokens> sequences = sequences_of(oracle);
    for (std::size_t s = 0; s < sequences.size(); ++s) {
      Session session(model, {.context = sequences[s].size()});
      Record record({.points = std::set<Point>(kAllPoints.begin(), kAllPoints.end())});
      Hook* const hooks[] = {&record};
      session.run(sequences[s], LogitsRows::all, hooks);
      check_sequence(oracle, *model, record, s, comparison);
    }
    comparison.report();
  });
}

TEST_CASE("fairseq oracle: every value's words agree with the reference, through every way the head scores them") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    if (oracle.tensors.find("layer0.value_logprobs") == nullptr) return;
    Comparison comparison(oracle.name() + ", values");
    const std::size_t n_values = model->config().d_memory;
    for (std::size_t l = 0; l < model->config().n_layers; ++l) {
      const std::string layer = "layer" + std::to_string(l) + ".";
      const AlignedBuffer values = values_of(*model, l);
      const ConstMatrixView rows = values.matrix(n_values, model->config().d_model);
      const AlignedBuffer words = log_probabilities(model->head(), rows);
      const ConstMatrixView all = words.matrix(n_values, model->config().vocab_size);
      comparison.check(oracle.at(layer + "value_logprobs"), all, kValueLogProbability);
      check_best_words(oracle, layer + "value_argmax", model->head(), rows);

      const TopTokens top = model->head().top_tokens(rows, 1);
      std::vector<float> of_best(n_values);
      model->head().log_probabilities_of(rows, top.tokens, of_best.data());
      for (std::size_t i = 0; i < n_values; ++i) {
        CHECK(of_best[i] == top.log_probabilities[i]);
        CHECK(of_best[i] == all.row(i)[static_cast<std::size_t>(top.tokens[i])]);
      }
    }
    comparison.report();
  });
}

TEST_CASE("fairseq oracle: one token at a time gives the whole sequence's numbers") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    const Tokens tokens = sequences_of(oracle).back();
    Session whole(model, {.context = tokens.size()});
    Session stepwise(model, {.context = tokens.size()});
    const ConstMatrixView all = whole.run(tokens, LogitsRows::all);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      const ConstMatrixView last = stepwise.run(std::span(tokens).subspan(t, 1), LogitsRows::last);
      CHECK(std::ranges::equal(last.row(0), all.row(t)));
    }
  });
}

TEST_CASE("fairseq oracle: an adaptive softmax's run returns log-probabilities, which sum to one") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    const Tokens tokens = sequences_of(oracle).back();
    Session session(model, {.context = tokens.size()});
    const ConstMatrixView rows = session.run(tokens, LogitsRows::all);
    CHECK(model->head().has_logits() == model->config().adaptive_cutoffs.empty());
    if (model->head().has_logits()) return;
    for (std::size_t t = 0; t < rows.rows; ++t) {
      double sum = 0.0;
      for (const float x : rows.row(t)) sum += std::exp(static_cast<double>(x));
      CHECK(sum == doctest::Approx(1.0).epsilon(1e-5));
    }
  });
}

}  // namespace ffmem
