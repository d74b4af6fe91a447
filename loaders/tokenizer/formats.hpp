// The three layouts of a tokenizer in a folder.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "loaders/tokenizer.hpp"
#include "loaders/tokenizer/added_tokens.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/vocabulary.hpp"

namespace ffmem::tokenization {

/// tokenizer.json. Its `truncation` and `padding` are not applied: they serve batches of equal length, callers of Transformers
/// override them, and a text cut short in silence would be a trap.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& file);

/// GPT-2's vocab.json and merges.txt: byte-level BPE, with the added tokens of tokenizer_config.json or added_tokens.json.
/// Throws tokenizer_unsupported where tokenizer_config.json names a class that reads them otherwise, tokenizer_invalid where a
/// special token that the files name has no id.
std::shared_ptr<const Tokenizer> load_gpt2_files(const std::filesystem::path& vocab, const std::filesystem::path& merges);

/// fairseq's dict.txt: a word and its count on each line, ids from 4 on.
std::shared_ptr<const Tokenizer> load_fairseq_dictionary(const std::filesystem::path& file);

/// What tokenizer_config.json and special_tokens_map.json beside a tokenizer say; both may be absent. As in Transformers the
/// latter wins, but is not looked at beside an added_tokens_decoder.
struct TokenizerConfig {
  std::optional<std::string> tokenizer_class;
  std::optional<std::string> bos_token, eos_token;
  std::vector<AddedToken> named_tokens;                 // bos_token and the like; special, without ids
  std::vector<AddedToken> further_special_tokens;       // likewise, of lists
  std::optional<std::vector<AddedToken>> added_tokens;  // added_tokens_decoder, by id
  bool add_prefix_space = false;
  bool add_bos_token = false, add_eos_token = false;
};
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// added_tokens.json, {"TEXT": ID, ...}, which files have in place of added_tokens_decoder; may be absent.
std::vector<AddedToken> read_added_tokens_json(const std::filesystem::path& folder, const TokenizerConfig& config);

/// tokenizer.json's added tokens and those that the files beside it add, change or make special: what Transformers'
/// PreTrainedTokenizerFast makes of them, but that a token which is named and no file gives an id is left out: the next id,
/// which it has there, has no embedding in the model. A changed token is there twice. `vocabulary` is the model's.
std::vector<AddedToken> with_tokens_beside(std::vector<AddedToken> own, const std::filesystem::path& folder,
                                           const TokenizerConfig& config, const Vocabulary& vocabulary);

/// What the files have in common in naming a token: its content and flags. `special` is what it is where it does not say.
AddedToken read_added_token(const JsonNode& node, bool special);
/// Throws tokenizer_invalid, naming the node, for what is no id.
TokenId read_token_id(const JsonNode& node);

/// read_json_file, with tokenizer_invalid for what is not JSON.
nlohmann::json read_tokenizer_file(const std::filesystem::path& file);

/// A text file, as a whole. Throws tokenizer_invalid where it is too large to be a tokenizer's, or not UTF-8.
std::string read_tokenizer_text(const std::filesystem::path& file);

}  // namespace ffmem::tokenization
