#include "runtime/output_head_arguments.hpp"

#include "ops/error.hpp"

namespace ffmem {
namespace {

void check_token(std::string_view what, std::size_t number, TokenId token, std::size_t vocab_size) {
  if (token >= 0 && static_cast<std::size_t>(token) < vocab_size) return;
  fail(ErrorCode::token_out_of_range, "output head: ", what, " ", number, ": expected a token id from 0 to ", vocab_size - 1,
       ", found ", token);
}

}  // namespace

void check_width(std::string_view argument, ConstMatrixView view, std::size_t width) {
  if (view.cols == width) return;
  fail(ErrorCode::argument_invalid, "output head: ", argument, ": expected rows of ", width, " numbers, found ", view.cols);
}

void check_shape(std::string_view argument, ConstMatrixView view, std::size_t rows, std::size_t width) {
  if (view.rows == rows && view.cols == width) return;
  fail(ErrorCode::argument_invalid, "output head: ", argument, ": expected [", rows, ", ", width, "], found [", view.rows, ", ",
       view.cols, "]");
}

void check_targets(std::span<const TokenId> targets, std::size_t rows, std::size_t vocab_size) {
  if (targets.size() != rows) {
    fail(ErrorCode::argument_invalid, "output head: expected one target for each of ", rows, " rows, found ", targets.size());
  }
  for (std::size_t t = 0; t < targets.size(); ++t) check_token("target", t, targets[t], vocab_size);
}

void check_queries(std::span<const TargetQuery> queries, std::size_t rows, std::size_t vocab_size) {
  for (std::size_t q = 0; q < queries.size(); ++q) {
    if (queries[q].row >= rows) {
      fail(ErrorCode::argument_invalid, "output head: query ", q, ": expected a row below ", rows, ", found ", queries[q].row);
    }
    if (q > 0 && queries[q].row < queries[q - 1].row) {
      fail(ErrorCode::argument_invalid, "output head: query ", q, ": expected queries ordered by row, found row ",
           queries[q].row, " behind row ", queries[q - 1].row);
    }
    check_token("query", q, queries[q].token, vocab_size);
  }
}

}  // namespace ffmem
