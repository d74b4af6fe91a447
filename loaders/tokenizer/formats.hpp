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

namespace ffmem::tokenization {

/// tokenizer.json. Its `truncation` and `padding` are not applied: they serve batches of equal length, callers of Transformers
/// override them, and a text cut short in silence would be a trap.
std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& file);

/// GPT-2's vocab.json and merges.txt: byte-level BPE.
std::shared_ptr<const Tokenizer> load_gpt2_files(const std::filesystem::path& vocab, const std::filesystem::path& merges);

/// fairseq's dict.txt: a word and its count on each line, ids from 4 on.
std::shared_ptr<const Tokenizer> load_fairseq_dictionary(const std::filesystem::path& file);

/// What tokenizer_config.json and special_tokens_map.json beside a tokenizer say; both may be absent.
struct TokenizerConfig {
  std::optional<std::string> bos_token, eos_token;
  std::vector<AddedToken> special_tokens;  // all named ones; without ids
  bool add_prefix_space = false;
  bool add_bos_token = false;
};
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// read_json_file, with tokenizer_invalid for what is not JSON.
nlohmann::json read_tokenizer_file(const std::filesystem::path& file);

}  // namespace ffmem::tokenization
