#include "runtime/output_head.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>
#include <vector>

#include "loaders/load_checkpoint.hpp"
#include "loaders/model_weights.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "runtime/model.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

// The trained model's vocabulary of 8,192 words spans two blocks.
std::shared_ptr<const Model> demo_model() {
  static const auto model = Model::load(FFMEM_DEMO_MODEL);
  return model;
}

AlignedBuffer random_hidden(std::size_t rows, std::size_t width) {
  AlignedBuffer hidden(rows * width);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < hidden.size(); ++i) hidden.data()[i] = normal(random);
  return hidden;
}

/// Rows 1 to 7 times as large, so that some softmaxes are flat and others sharp.
AlignedBuffer random_hidden_of_all_sizes(std::size_t rows, std::size_t width) {
  AlignedBuffer hidden = random_hidden(rows, width);
  for (std::size_t i = 0; i < hidden.size(); ++i) hidden.data()[i] *= 1.0F + static_cast<float>(i / width % 7);
  return hidden;
}

std::vector<TargetQuery> one_of_each_row(std::span<const TokenId> targets) {
  std::vector<TargetQuery> queries;
  for (std::size_t r = 0; r < targets.size(); ++r) queries.push_back({.row = r, .token = targets[r]});
  return queries;
}

/// Tokens of higher log-probability, and of equal with a smaller id.
std::uint32_t rank_in(std::span<const float> log_p, TokenId token) {
  const auto target = static_cast<std::size_t>(token);
  std::uint32_t rank = 0;
  for (std::size_t v = 0; v < log_p.size(); ++v) {
    rank += log_p[v] > log_p[target] || (log_p[v] == log_p[target] && v < target) ? 1 : 0;
  }
  return rank;
}

}  // namespace

TEST_CASE("output head: log-probabilities are the logarithm of a softmax over the logits") {
  const OutputHead& head = demo_model()->head();
  const std::size_t rows = 3;
  const AlignedBuffer hidden = random_hidden(rows, head.hidden_width());
  const AlignedBuffer logits(rows * head.vocab_size());
  const AlignedBuffer log_probabilities(rows * head.vocab_size());
  const MatrixView logit_rows = logits.matrix(rows, head.vocab_size());
  const MatrixView log_probability_rows = log_probabilities.matrix(rows, head.vocab_size());
  head.logits(hidden.matrix(rows, head.hidden_width()), logit_rows);
  head.log_probabilities(hidden.matrix(rows, head.hidden_width()), log_probability_rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = logit_rows.row(r);
    const double high = *std::ranges::max_element(row);
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x) - high);
    for (std::size_t v = 0; v < row.size(); ++v) {
      const double expected = static_cast<double>(row[v]) - high - std::log(sum);
      REQUIRE(static_cast<double>(log_probability_rows.row(r)[v]) == doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("output head: streamed top tokens and targets equal those of the full distribution, over several row blocks") {
  const OutputHead& head = demo_model()->head();
  const std::size_t rows = OutputHead::kRowBlock + 5;
  const std::size_t vocab_size = head.vocab_size();
  const AlignedBuffer hidden = random_hidden(rows, head.hidden_width());
  const ConstMatrixView hidden_rows = hidden.matrix(rows, head.hidden_width());
  const AlignedBuffer full(rows * vocab_size);
  head.log_probabilities(hidden_rows, full.matrix(rows, vocab_size));

  const std::size_t k = 7;
  const TopTokens top = head.top_tokens(hidden_rows, k);
  std::vector<TokenId> targets(rows);
  for (std::size_t r = 0; r < rows; ++r) targets[r] = static_cast<TokenId>(r * 31 % vocab_size);
  std::vector<float> of_targets(rows);
  head.log_probabilities_of(hidden_rows, targets, of_targets.data());

  std::vector<TokenId> order(vocab_size);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::span<const float> row = full.matrix(rows, vocab_size).row(r);
    CHECK(of_targets[r] == row[static_cast<std::size_t>(targets[r])]);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](TokenId a, TokenId b) {
      const float x = row[static_cast<std::size_t>(a)];
      const float y = row[static_cast<std::size_t>(b)];
      return x > y || (x == y && a < b);
    });
    for (std::size_t i = 0; i < k; ++i) {
      REQUIRE(top.tokens[r * k + i] == order[i]);
      REQUIRE(top.log_probabilities[r * k + i] == row[static_cast<std::size_t>(order[i])]);
    }
  }
}

TEST_CASE(
    "output head: a target's rank counts the better tokens, and the equal ones with a smaller id, over several row blocks") {
  const OutputHead& head = demo_model()->head();
  const std::size_t rows = OutputHead::kRowBlock + 5;
  const std::size_t vocab_size = head.vocab_size();
  AlignedBuffer hidden = random_hidden(rows, head.hidden_width());
  // The last row is zero: every token has the same probability, so a token's rank is its id.
  std::ranges::fill(hidden.matrix(rows, head.hidden_width()).row(rows - 1), 0.0F);
  const ConstMatrixView hidden_rows = hidden.matrix(rows, head.hidden_width());
  const AlignedBuffer logits(rows * vocab_size);
  head.logits(hidden_rows, logits.matrix(rows, vocab_size));
  const TopTokens top = head.top_tokens(hidden_rows, 1);

  // First and last token, both sides of the border between blocks, the best token, and others.
  std::vector<TokenId> targets(rows);
  for (std::size_t r = 0; r < rows; ++r) targets[r] = static_cast<TokenId>(r * 3571 % vocab_size);
  targets[0] = 0;
  targets[1] = static_cast<TokenId>(vocab_size - 1);
  targets[2] = static_cast<TokenId>(OutputHead::kVocabularyBlock - 1);
  targets[3] = static_cast<TokenId>(OutputHead::kVocabularyBlock);
  targets[4] = top.tokens[4];
  std::vector<float> log_probabilities(rows);
  head.log_probabilities_of(hidden_rows, targets, log_probabilities.data());

  const TargetRanks found = head.ranks_of(hidden_rows, one_of_each_row(targets));
  CHECK(found.log_probabilities == log_probabilities);
  CHECK(found.ranks[4] == 0);
  CHECK(found.ranks[rows - 1] == static_cast<std::uint32_t>(targets[rows - 1]));
  for (std::size_t r = 0; r < rows; ++r) {
    REQUIRE(found.ranks[r] == rank_in(logits.matrix(rows, vocab_size).row(r), targets[r]));
  }
}

TEST_CASE("output head: where logits are no numbers or infinite, NaN ranks last and the rest as the best tokens do") {
  LoadedCheckpoint checkpoint = load_checkpoint(FFMEM_DEMO_MODEL);
  const std::size_t d = checkpoint.config.d_model;
  const std::size_t vocab_size = checkpoint.config.vocab_size;
  std::vector<float> table(vocab_size * d, 0.0F);
  for (std::size_t v = 0; v < vocab_size; ++v) table[v * d] = static_cast<float>(v % 100) / 100.0F;
  table[5 * d] = NAN;
  table[7 * d] = INFINITY;
  checkpoint.weights.head = {
      .matrix = {.data = table.data(), .dtype = DType::f32, .rows = vocab_size, .cols = d, .row_stride = d, .col_stride = 1},
      .bias = {}};
  const auto backend = make_cpu_backend();
  const OutputHead head(checkpoint.config, checkpoint.weights, *backend);
  AlignedBuffer hidden(d);
  hidden.data()[0] = 1.0F;
  const std::vector<TargetQuery> queries{{0, 99}, {0, 7}, {0, 5}, {0, 199}};
  const TargetRanks found = head.ranks_of(hidden.matrix(1, d), queries);
  CHECK(found.ranks[0] == 1);
  CHECK(found.ranks[1] == 0);
  CHECK(found.ranks[2] == vocab_size - 1);
  CHECK(found.ranks[3] == 2);
}

TEST_CASE("output head: a NaN among the logits makes all probabilities NaN, in whichever block of the vocabulary it is") {
  LoadedCheckpoint checkpoint = load_checkpoint(FFMEM_DEMO_MODEL);
  const std::size_t d = checkpoint.config.d_model;
  const std::size_t vocab_size = checkpoint.config.vocab_size = 2 * OutputHead::kVocabularyBlock + 100;
  std::vector<float> table(vocab_size * d, 0.0F);
  checkpoint.weights.head = {
      .matrix = {.data = table.data(), .dtype = DType::f32, .rows = vocab_size, .cols = d, .row_stride = d, .col_stride = 1},
      .bias = {}};
  const auto backend = make_cpu_backend();
  const AlignedBuffer hidden = random_hidden(1, d);
  const ConstMatrixView row = hidden.matrix(1, d);
  for (const std::size_t word : {std::size_t{5}, OutputHead::kVocabularyBlock + 5, 2 * OutputHead::kVocabularyBlock + 5}) {
    CAPTURE(word);
    table[word * d] = NAN;
    const OutputHead head(checkpoint.config, checkpoint.weights, *backend);
    const AlignedBuffer log_p(vocab_size);
    head.log_probabilities(row, log_p.matrix(1, vocab_size));
    CHECK(std::all_of(log_p.data(), log_p.data() + vocab_size, [](float x) { return std::isnan(x); }));
    float of_target = 0.0F;
    head.log_probabilities_of(row, std::vector<TokenId>{7}, &of_target);
    CHECK(std::isnan(of_target));
    for (const float x : head.top_tokens(row, 3).log_probabilities) CHECK(std::isnan(x));
    CHECK(std::isnan(head.band_tops(row).log_probabilities[0]));
    CHECK(std::isnan(head.ranks_of(row, std::vector<TargetQuery>{{0, 7}}).log_probabilities[0]));
    table[word * d] = 0.0F;
  }
}

TEST_CASE("output head: words of an adaptive softmax's band that holds NaN come before all others") {
  LoadedCheckpoint checkpoint = load_checkpoint(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive");
  AdaptiveBand& band = checkpoint.weights.bands[1];  // words 24 to 39
  WeightMatrix& table = band.out_table.empty() ? band.table : band.out_table;
  std::vector<float> broken(table.rows * table.cols);
  for (std::size_t r = 0; r < table.rows; ++r) read_row(table, r, broken.data() + r * table.cols);
  broken[3 * table.cols] = NAN;
  table = {.data = broken.data(),
           .dtype = DType::f32,
           .rows = table.rows,
           .cols = table.cols,
           .row_stride = table.cols,
           .col_stride = 1};
  const auto backend = make_cpu_backend();
  const OutputHead head(checkpoint.config, checkpoint.weights, *backend);
  const AlignedBuffer hidden = random_hidden(1, head.hidden_width());
  const TopTokens top = head.top_tokens(hidden.matrix(1, head.hidden_width()), head.vocab_size());
  for (std::size_t i = 0; i < top.k; ++i) {
    CAPTURE(i);
    CHECK(std::isnan(top.log_probabilities[i]) == (i < 16));
    CHECK((top.tokens[i] >= 24 && top.tokens[i] < 40) == (i < 16));
  }
}

TEST_CASE("output head: ranks of no rows are none") {
  const OutputHead& head = demo_model()->head();
  CHECK(head.ranks_of({nullptr, 0, head.hidden_width()}, {}).ranks.empty());
}

TEST_CASE("output head: asking for more tokens than there are gives them all, in order") {
  const OutputHead& head = demo_model()->head();
  const AlignedBuffer hidden = random_hidden(1, head.hidden_width());
  const TopTokens top = head.top_tokens(hidden.matrix(1, head.hidden_width()), head.vocab_size() + 1);
  CHECK(top.k == head.vocab_size());
  CHECK(std::ranges::is_sorted(top.log_probabilities, std::greater<>()));
  std::vector<TokenId> all = top.tokens;
  std::ranges::sort(all);
  CHECK(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("output head: the raw lens leaves the vector as it is, the other applies the final norm") {
  const OutputHead& head = demo_model()->head();
  const AlignedBuffer residual = random_hidden(1, head.hidden_width());
  const AlignedBuffer raw(head.hidden_width());
  const AlignedBuffer normed(head.hidden_width());
  head.to_hidden(residual.matrix(1, head.hidden_width()), Lens::raw, raw.matrix(1, head.hidden_width()));
  head.to_hidden(residual.matrix(1, head.hidden_width()), Lens::final_norm, normed.matrix(1, head.hidden_width()));
  CHECK(std::equal(raw.data(), raw.data() + raw.size(), residual.data()));
  CHECK_FALSE(std::equal(normed.data(), normed.data() + normed.size(), residual.data()));
}

TEST_CASE("output head: targets' log-probabilities beside the best tokens are those asked for alone") {
  const OutputHead& head = demo_model()->head();
  const AlignedBuffer hidden = random_hidden(3, head.hidden_width());
  const ConstMatrixView rows = hidden.matrix(3, head.hidden_width());
  const std::vector<TokenId> targets{0, 4096, 8191};
  std::vector<float> alone(3), beside(3);
  head.log_probabilities_of(rows, targets, alone.data());
  const TopTokens top = head.top_tokens(rows, 2, targets, beside.data());
  CHECK(beside == alone);
  CHECK(top.tokens == head.top_tokens(rows, 2).tokens);
  CHECK(top.log_probabilities == head.top_tokens(rows, 2).log_probabilities);
}

TEST_CASE("output head: a walk over scores passes every word once, in order, and gives the logits") {
  const OutputHead& head = demo_model()->head();
  const AlignedBuffer hidden = random_hidden(2, head.hidden_width());
  const AlignedBuffer logits(2 * head.vocab_size());
  const MatrixView logit_rows = logits.matrix(2, head.vocab_size());
  head.logits(hidden.matrix(2, head.hidden_width()), logit_rows);
  std::size_t n = 0;
  head.walk_scores(hidden.matrix(2, head.hidden_width()), [&](const ScoreBlock& block, ConstMatrixView scores) {
    CHECK(block.band == 0);
    CHECK(!block.entries);
    CHECK(block.first_word == n);
    for (std::size_t r = 0; r < 2; ++r) CHECK(std::ranges::equal(scores.row(r), logit_rows.row(r).subspan(n, scores.cols)));
    n += scores.cols;
  });
  CHECK(n == head.vocab_size());
}

TEST_CASE("output head: an adaptive softmax of more bands than a block has words is refused") {
  const ModelConfig config;
  ModelWeights weights;
  weights.bands.resize(OutputHead::kVocabularyBlock + 1);
  const Error error = thrown([&] { OutputHead(config, weights, demo_model()->backend()); });
  CHECK(error.code() == ErrorCode::config_unsupported);
  CHECK(contains(error.what(), "expected at most 4096 bands, found 4097"));
}

TEST_CASE("output head: best tokens and targets of an adaptive softmax are those of its full distribution") {
  const auto model = Model::load(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive");
  const OutputHead& head = model->head();
  const std::size_t n_rows = OutputHead::kRowBlock + 40;
  const AlignedBuffer hidden = random_hidden_of_all_sizes(n_rows, head.hidden_width());
  const ConstMatrixView rows = hidden.matrix(n_rows, head.hidden_width());
  const AlignedBuffer buffer(n_rows * head.vocab_size());
  const MatrixView log_p = buffer.matrix(n_rows, head.vocab_size());
  head.log_probabilities(rows, log_p);
  std::vector<TokenId> targets(n_rows);
  for (std::size_t r = 0; r < n_rows; ++r) targets[r] = static_cast<TokenId>(r * 13 % head.vocab_size());
  std::size_t n_of_band_0 = 0;
  for (const std::size_t k : {1, 4, 24, 30, 60}) {
    CAPTURE(k);
    std::vector<float> target_log_p(n_rows);
    const TopTokens top = head.top_tokens(rows, k, targets, target_log_p.data());
    CHECK(head.top_tokens(rows, k).tokens == top.tokens);
    CHECK(head.top_tokens(rows, k).log_probabilities == top.log_probabilities);
    for (std::size_t r = 0; r < n_rows; ++r) {
      std::vector<TokenId> order(head.vocab_size());
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, std::greater<>(), [&](TokenId token) { return log_p.row(r)[token]; });
      CHECK(std::equal(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k),
                       top.tokens.begin() + static_cast<std::ptrdiff_t>(r * k)));
      for (std::size_t i = 0; i < k; ++i) CHECK(top.log_probabilities[r * k + i] == log_p.row(r)[order[i]]);
      CHECK(target_log_p[r] == log_p.row(r)[targets[r]]);
      if (k == 1) n_of_band_0 += order[0] < 24 ? 1 : 0;
    }
  }
  // Some rows need the words of every band, others those of band 0 alone.
  CHECK(n_of_band_0 > 10);
  CHECK(n_of_band_0 < n_rows - 10);
}

TEST_CASE("output head: ranks in an adaptive softmax are those of its full distribution, for any number of tokens a row") {
  const auto model = Model::load(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive");
  const OutputHead& head = model->head();
  const std::size_t n_rows = OutputHead::kRowBlock + 40;
  const AlignedBuffer hidden = random_hidden_of_all_sizes(n_rows, head.hidden_width());
  const ConstMatrixView rows = hidden.matrix(n_rows, head.hidden_width());
  const AlignedBuffer buffer(n_rows * head.vocab_size());
  const MatrixView log_p = buffer.matrix(n_rows, head.vocab_size());
  head.log_probabilities(rows, log_p);
  const TopTokens top = head.top_tokens(rows, 1);
  std::vector<TargetQuery> queries;
  for (std::size_t r = 0; r < n_rows; ++r) {
    // None, the best, frequent words (whose band may be all that is scored), or one of every band.
    if (r % 4 == 1) queries.push_back({.row = r, .token = top.tokens[r]});
    if (r % 4 >= 2) queries.push_back({.row = r, .token = static_cast<TokenId>(r % 24)});
    if (r % 4 == 2) queries.push_back({.row = r, .token = static_cast<TokenId>((r + 7) % 24)});
    if (r % 4 == 3) queries.push_back({.row = r, .token = static_cast<TokenId>(24 + r % 16)});
    if (r % 4 == 3) queries.push_back({.row = r, .token = static_cast<TokenId>(40 + r % 20)});
  }
  const TargetRanks found = head.ranks_of(rows, queries);
  std::size_t n_first = 0;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const auto row = log_p.row(queries[q].row);
    CAPTURE(queries[q].row);
    CAPTURE(queries[q].token);
    CHECK(found.log_probabilities[q] == row[static_cast<std::size_t>(queries[q].token)]);
    CHECK(found.ranks[q] == rank_in(row, queries[q].token));
    n_first += found.ranks[q] == 0 ? 1 : 0;
  }
  CHECK(n_first >= n_rows / 4);
}

TEST_CASE("output head: an adaptive softmax's bands by their best words and entries") {
  const auto model = Model::load(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive");
  const OutputHead& head = model->head();
  const std::vector<std::size_t> borders{0, 24, 40, 60};
  const std::size_t n_rows = OutputHead::kRowBlock + 3;
  const AlignedBuffer hidden = random_hidden(n_rows, head.hidden_width());
  const ConstMatrixView rows = hidden.matrix(n_rows, head.hidden_width());
  const AlignedBuffer buffer(n_rows * head.vocab_size());
  const MatrixView log_p = buffer.matrix(n_rows, head.vocab_size());
  head.log_probabilities(rows, log_p);
  const BandTops tops = head.band_tops(rows);
  REQUIRE(tops.n_bands == 3);
  for (std::size_t r = 0; r < n_rows; ++r) {
    for (std::size_t b = 0; b < 3; ++b) {
      const auto band = log_p.row(r).subspan(borders[b], borders[b + 1] - borders[b]);
      const auto best = std::ranges::max_element(band);
      double sum = 0.0;
      for (const float x : band) sum += std::exp(static_cast<double>(x));
      CHECK(tops.tokens[r * 3 + b] == static_cast<TokenId>(borders[b]) + (best - band.begin()));
      CHECK(tops.log_probabilities[r * 3 + b] == doctest::Approx(*best).epsilon(1e-5));
      const double entry = b == 0 ? 0.0 : std::log(sum);
      CHECK(static_cast<double>(tops.entry_log_probabilities[r * 3 + b]) == doctest::Approx(entry).epsilon(1e-4));
    }
  }
}

}  // namespace ffmem
