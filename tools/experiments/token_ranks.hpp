// Where tokens stand in the distributions that vectors induce, several tokens of each vector at the price of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/matrix_view.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"

namespace ffmem::tools {

/// A token asked for in the distribution of one row.
struct TokenQuery {
  std::size_t row = 0;
  TokenId token = 0;
  std::uint32_t rank = 0;  // filled in, from 0: tokens of higher probability, and those of equal probability with a smaller id
};

/// hidden [rows, hidden width]. Walks the vocabulary twice; working memory: hidden.rows * OutputHead::kVocabularyBlock floats.
void find_ranks(const Model& model, ConstMatrixView hidden, std::span<TokenQuery> queries);

}  // namespace ffmem::tools
