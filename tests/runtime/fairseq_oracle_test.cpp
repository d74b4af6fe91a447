// fairseq's language models against stored numbers (tests/data/fairseq, made by tests/data/make_fairseq_goldens.py; see
// oracle.hpp for running others): activations, log-probabilities, and the words of every value through the output softmax.
#include <cmath>
#include <cstdlib>
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

/// The tokens whose ranks are stored, and some of every band.
Tokens tokens_to_rank(const Oracle& oracle, std::size_t vocab_size) {
  Tokens tokens;
  if (const StoredTensor* stored = oracle.tensors.find("value_rank_tokens")) {
    for (const std::int64_t token : stored->values<std::int64_t>()) tokens.push_back(static_cast<TokenId>(token));
  }
  for (std::size_t token = 0; token < vocab_size; token += 9) tokens.push_back(static_cast<TokenId>(token));
  tokens.push_back(static_cast<TokenId>(vocab_size - 1));
  return tokens;
}

/// Compares a token's rank in each value's words with its place among the stored log-probabilities, up to words that are as
/// good as equal there.
void check_places(const StoredTensor& log_probabilities, TokenId token, const std::vector<std::uint32_t>& ranks) {
  const auto stored = log_probabilities.values<float>();
  const std::size_t vocab_size = stored.size() / ranks.size();
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const auto row = stored.subspan(i * vocab_size, vocab_size);
    const float own = row[static_cast<std::size_t>(token)];
    const auto above = [&](float least) { return std::ranges::count_if(row, [&](float x) { return x > least; }); };
    CHECK(ranks[i] >= above(own + 2 * static_cast<float>(kValueLogProbability.absolute)));
    CHECK(ranks[i] < above(own - 2 * static_cast<float>(kValueLogProbability.absolute)));
  }
}

/// The same with the token's stored ranks, where there are any.
void check_ranks(const Oracle& oracle, const std::string& layer, TokenId token, const std::vector<std::uint32_t>& ranks) {
  if (oracle.tensors.find(layer + "value_ranks") == nullptr) return;
  const auto tokens = oracle.at("value_rank_tokens").values<std::int64_t>();
  const auto expected = oracle.at(layer + "value_ranks").values<std::int64_t>();
  const auto slack = oracle.at(layer + "value_rank_slack").values<std::int64_t>();
  for (std::size_t k = 0; k < tokens.size(); ++k) {
    if (tokens[k] != token) continue;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const std::size_t at = i * tokens.size() + k;
      CHECK(std::abs(static_cast<std::int64_t>(ranks[i]) - expected[at]) <= slack[at]);
    }
  }
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

TEST_CASE("fairseq oracle: a token's rank in a value's words is its place among them all, and the reference's") {
  for_each_oracle([](const Oracle& oracle, const std::shared_ptr<const Model>& model) {
    if (oracle.tensors.find("layer0.value_logprobs") == nullptr) return;
    for (std::size_t l = 0; l < model->config().n_layers; ++l) {
      const AlignedBuffer values = values_of(*model, l);
      const ConstMatrixView rows = values.matrix(model->config().d_memory, model->config().d_model);
      const AlignedBuffer words = log_probabilities(model->head(), rows);
      for (const TokenId token : tokens_to_rank(oracle, model->config().vocab_size)) {
        std::vector<TargetQuery> queries;
        for (std::size_t i = 0; i < rows.rows; ++i) queries.push_back({.row = i, .token = token});
        const TargetRanks found = model->head().ranks_of(rows, queries);
        for (std::size_t i = 0; i < rows.rows; ++i) {
          const std::span<const float> row = words.matrix(rows.rows, model->config().vocab_size).row(i);
          const float own = row[static_cast<std::size_t>(token)];
          CHECK(found.log_probabilities[i] == own);
          // Rounding to log-probabilities can make equals of logits that are not; the rank lies between the two counts.
          CHECK(found.ranks[i] >= std::ranges::count_if(row, [&](float x) { return x > own; }));
          CHECK(found.ranks[i] < std::ranges::count_if(
                                     row, [&](float x) { return x >= own; }));
        }
        const std::string layer = "layer" + std::to_string(l) + ".";
        if (const auto* stored = oracle.tensors.find(layer + "value_logprobs")) check_places(*stored, token, found.ranks);
        check_ranks(oracle, layer, token, found.ranks);
      }
    }
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
