// What tests of runs share: the tiny model, batches of sentences, and rows as vectors that compare bit for bit.
#pragma once

#include <memory>
#include <random>
#include <span>
#include <vector>

#include "runtime/session.hpp"

namespace ffmem {

using Sentences = std::vector<std::vector<TokenId>>;

/// 3 layers, 64 words, 32 positions, ReLU.
inline std::shared_ptr<const Model> tiny_model() {
  static const auto model = Model::load(FFMEM_TEST_DATA "/hf/gpt2-relu");
  return model;
}

inline std::vector<TokenId> random_sentence(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> sentence(length);
  for (TokenId& token : sentence) token = static_cast<TokenId>(random() % tiny_model()->config().vocab_size);
  return sentence;
}

/// Sentences laid end to end.
struct Laid {
  explicit Laid(const Sentences& sentences) {
    for (const auto& sentence : sentences) {
      tokens.insert(tokens.end(), sentence.begin(), sentence.end());
      offsets.push_back(tokens.size());
    }
  }
  RaggedBatch batch() const { return {.tokens = tokens, .offsets = offsets}; }

  std::vector<TokenId> tokens;
  std::vector<std::size_t> offsets{0};
};

/// Appends rows [begin, end).
inline void append_rows(ConstMatrixView from, std::size_t begin, std::size_t end, std::vector<float>& to) {
  for (std::size_t t = begin; t < end; ++t) to.insert(to.end(), from.row(t).begin(), from.row(t).end());
}

inline std::vector<float> rows_of(ConstMatrixView from, std::size_t begin, std::size_t end) {
  std::vector<float> rows;
  append_rows(from, begin, end, rows);
  return rows;
}
inline std::vector<float> rows_of(ConstMatrixView from) { return rows_of(from, 0, from.rows); }

}  // namespace ffmem
