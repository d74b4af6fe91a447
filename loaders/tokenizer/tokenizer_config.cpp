#include <system_error>

#include "loaders/json_file.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

/// A token is given as a text or as an object with its content.
AddedToken read_token(const JsonNode& node) {
  AddedToken token;
  token.special = true;
  if (node.is_text()) {
    token.content = node.text();
    return token;
  }
  token.content = node.at("content").text();
  token.single_word = node.flag("single_word", false);
  token.lstrip = node.flag("lstrip", false);
  token.rstrip = node.flag("rstrip", false);
  token.normalized = node.flag("normalized", false);
  return token;
}

/// Takes what the file names and no file before it did.
void read_special_tokens(const JsonNode& root, TokenizerConfig& config) {
  const auto take = [&](const JsonNode& node) {
    config.special_tokens.push_back(read_token(node));
    return config.special_tokens.back().content;
  };
  if (const auto bos = root.find("bos_token"); bos && !config.bos_token) config.bos_token = take(*bos);
  if (const auto eos = root.find("eos_token"); eos && !config.eos_token) config.eos_token = take(*eos);
  for (const std::string_view key : {"unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
    if (const auto token = root.find(key)) take(*token);
  }
  if (const auto list = root.find("additional_special_tokens"); list && list->is_array()) {
    for (const JsonNode& token : list->elements()) take(token);
  }
}

}  // namespace

nlohmann::json read_tokenizer_file(const std::filesystem::path& file) {
  try {
    return read_json_file(file);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::json_invalid) throw;
    throw Error(ErrorCode::tokenizer_invalid, error.what());
  }
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::filesystem::path file = folder / name;
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) continue;
    const nlohmann::json json = read_tokenizer_file(file);
    const std::string file_name = file.string();
    const JsonNode root(json, file_name);
    read_special_tokens(root, config);
    config.add_prefix_space = root.flag("add_prefix_space", config.add_prefix_space);
    config.add_bos_token = root.flag("add_bos_token", config.add_bos_token);
  }
  return config;
}

}  // namespace ffmem::tokenization
