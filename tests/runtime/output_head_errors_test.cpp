// What OutputHead refuses.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ops/aligned_buffer.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

// Of the tiny model: d = 24, V = 64.
constexpr std::size_t kWidth = 24;
constexpr std::size_t kWords = 64;

const OutputHead& head() { return tiny_model()->head(); }

MatrixView zeros(std::size_t rows, std::size_t cols) {
  static const AlignedBuffer buffer(std::size_t{1} << 10);
  return buffer.matrix(rows, cols);
}

void refuses(ErrorCode code, const std::string& message, const std::function<void()>& call) {
  CAPTURE(message);
  const Error error = thrown(call);
  CHECK(error.code() == code);
  CHECK_MESSAGE(contains(error.what(), message), error.what());
}

}  // namespace

TEST_CASE("output head: rows of another width are refused by every function") {
  const ConstMatrixView wide = zeros(2, kWidth + 1);
  const std::vector<TokenId> targets{1, 2};
  std::vector<float> out(2);
  const std::vector<TargetQuery> queries{{.row = 0, .token = 1}};
  const std::vector<std::function<void()>> calls{
      [&] { head().logits(wide, zeros(2, kWords)); },
      [&] { head().log_probabilities(wide, zeros(2, kWords)); },
      [&] { head().top_tokens(wide, 1); },
      [&] { head().top_tokens(wide, 1, targets, out.data()); },
      [&] { head().band_tops(wide); },
      [&] { head().walk_scores(wide, [](const ScoreBlock&, ConstMatrixView) {}); },
      [&] { head().log_probabilities_of(wide, targets, out.data()); },
      [&] { head().ranks_of(wide, queries); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    refuses(ErrorCode::argument_invalid, "output head: hidden: expected rows of 24 numbers, found 25", calls[i]);
  }
  refuses(ErrorCode::argument_invalid, "output head: residual: expected rows of 24 numbers, found 25",
          [&] { head().to_hidden(wide, Lens::raw, zeros(2, kWidth)); });
}

TEST_CASE("output head: room for results that has not their shape is refused") {
  const ConstMatrixView rows = zeros(3, kWidth);
  refuses(ErrorCode::argument_invalid, "output head: hidden: expected [3, 24], found [2, 24]",
          [&] { head().to_hidden(rows, Lens::raw, zeros(2, kWidth)); });
  refuses(ErrorCode::argument_invalid, "output head: hidden: expected [3, 24], found [3, 23]",
          [&] { head().to_hidden(rows, Lens::raw, zeros(3, kWidth - 1)); });
  refuses(ErrorCode::argument_invalid, "output head: out: expected [3, 64], found [2, 64]",
          [&] { head().logits(rows, zeros(2, kWords)); });
  refuses(ErrorCode::argument_invalid, "output head: out: expected [3, 64], found [3, 63]",
          [&] { head().log_probabilities(rows, zeros(3, kWords - 1)); });
}

TEST_CASE("output head: a target for each row, and none outside the vocabulary") {
  const ConstMatrixView rows = zeros(3, kWidth);
  std::vector<float> out(3);
  const auto both_refuse = [&](ErrorCode code, const char* message, const std::vector<TokenId>& targets) {
    refuses(code, message, [&] { head().log_probabilities_of(rows, targets, out.data()); });
    refuses(code, message, [&] { head().top_tokens(rows, 1, targets, out.data()); });
  };
  both_refuse(ErrorCode::argument_invalid, "output head: expected one target for each of 3 rows, found 2", {1, 2});
  both_refuse(ErrorCode::argument_invalid, "output head: expected one target for each of 3 rows, found 4", {1, 2, 3, 4});
  both_refuse(ErrorCode::token_out_of_range, "output head: target 2: expected a token id from 0 to 63, found 64", {0, 63, 64});
  both_refuse(ErrorCode::token_out_of_range, "output head: target 1: expected a token id from 0 to 63, found -1", {0, -1, 63});
  refuses(ErrorCode::argument_invalid, "output head: expected one target for each of 3 rows, found 0",
          [&] { head().log_probabilities_of(rows, {}, out.data()); });
  CHECK(head().top_tokens(rows, 1, {}, nullptr).tokens.size() == 3);
}

TEST_CASE("output head: queries name rows there are, in order, and tokens of the vocabulary") {
  const ConstMatrixView rows = zeros(3, kWidth);
  const auto refused = [&](ErrorCode code, const char* message, const std::vector<TargetQuery>& queries) {
    refuses(code, message, [&] { head().ranks_of(rows, queries); });
  };
  refused(ErrorCode::argument_invalid, "output head: query 1: expected a row below 3, found 3", {{2, 0}, {3, 0}});
  refused(ErrorCode::argument_invalid, "output head: query 2: expected queries ordered by row, found row 0 behind row 1",
          {{0, 0}, {1, 0}, {0, 1}});
  refused(ErrorCode::token_out_of_range, "output head: query 1: expected a token id from 0 to 63, found 64",
          {{0, 63}, {0, 64}});
  refused(ErrorCode::token_out_of_range, "output head: query 0: expected a token id from 0 to 63, found -1", {{0, -1}});
}

TEST_CASE("output head: an adaptive softmax has no logits to give") {
  const auto model = Model::load(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive");
  const MatrixView rows = zeros(1, model->head().hidden_width());
  refuses(ErrorCode::argument_invalid, "logits: this model's adaptive softmax has log-probabilities alone",
          [&] { model->head().logits(rows, zeros(1, model->head().vocab_size())); });
}

}  // namespace ffmem
