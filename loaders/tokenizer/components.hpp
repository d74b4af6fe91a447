// The parts of tokenizer.json by their names.
//
// Everything that is not named in components.cpp throws tokenizer_unsupported with the component's name and place; malformed
// ones throw tokenizer_invalid. Source: the file format of `tokenizers` 0.23.
#pragma once

#include <memory>
#include <vector>

#include "loaders/tokenizer/decoder.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/normalizer.hpp"
#include "loaders/tokenizer/pre_tokenizer.hpp"
#include "loaders/tokenizer/vocabulary.hpp"
#include "ops/dtype.hpp"

namespace ffmem::tokenization {

/// {token: id}.
std::shared_ptr<const Vocabulary> read_vocabulary(const JsonNode& node);

Normalizers read_normalizers(const JsonNode& node);

/// With `model_takes_bytes`, the spelling is left to the model where that is possible.
PreTokenizerChain read_pre_tokenizers(const JsonNode& node, bool model_takes_bytes);

DecoderSteps read_decoder(const JsonNode& node);

/// What a post-processor puts around one text.
struct Surroundings {
  std::vector<TokenId> prefix, suffix;
};
Surroundings read_post_processor(const JsonNode& node);

}  // namespace ffmem::tokenization
