#include <charconv>
#include <system_error>

#include "loaders/json_file.hpp"
#include "loaders/mapped_file.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/vocabulary.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

/// A token is given as a text or as an object with its content.
AddedToken read_special_token(const JsonNode& node) {
  AddedToken token;
  if (node.is_text()) {
    token.content = node.text();
  } else {
    token = read_added_token(node, true);
  }
  token.special = true;
  return token;
}

/// Takes what the file names and no file before it did.
void read_special_tokens(const JsonNode& root, TokenizerConfig& config) {
  const auto take = [&](const JsonNode& node) {
    config.special_tokens.push_back(read_special_token(node));
    return config.special_tokens.back().content;
  };
  if (const auto bos = root.find("bos_token"); bos && !config.bos_token) config.bos_token = take(*bos);
  if (const auto eos = root.find("eos_token"); eos && !config.eos_token) config.eos_token = take(*eos);
  for (const std::string_view key : {"unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
    if (const auto token = root.find(key)) take(*token);
  }
  for (const std::string_view key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto further = root.find(key);
    if (!further) continue;
    if (further->is_array()) {
      for (const JsonNode& token : further->elements()) take(token);
    } else {  // names and their tokens
      for (const auto& [name, value] : further->object().items()) take(further->at(name));
    }
  }
}

/// An object whose keys are ids.
std::vector<AddedToken> read_added_tokens_decoder(const JsonNode& node) {
  std::vector<AddedToken> tokens;
  for (const auto& [key, value] : node.object().items()) {
    AddedToken token = read_added_token(node.at(key), false);
    const char* const end = key.data() + key.size();
    const auto [behind, error] = std::from_chars(key.data(), end, token.id);
    if (error != std::errc() || behind != end || token.id < 0) node.at(key).invalid("the id of a token for a key");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

AddedToken read_added_token(const JsonNode& node, bool special) {
  AddedToken token;
  token.content = node.at("content").text();
  token.special = node.flag("special", special);
  token.single_word = node.flag("single_word", false);
  token.lstrip = node.flag("lstrip", false);
  token.rstrip = node.flag("rstrip", false);
  token.normalized = node.flag("normalized", !token.special);
  return token;
}

TokenId read_token_id(const JsonNode& node) {
  if (node.size() >= Vocabulary::kMaxSize) node.invalid("the id of a token");
  return static_cast<TokenId>(node.size());
}

nlohmann::json read_tokenizer_file(const std::filesystem::path& file) {
  try {
    return read_json_file(file);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::json_invalid) throw;
    throw Error(ErrorCode::tokenizer_invalid, error.what());
  }
}

std::string read_tokenizer_text(const std::filesystem::path& file) {
  std::string text = read_parsed_file(file, ErrorCode::tokenizer_invalid);
  if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    fail(ErrorCode::tokenizer_invalid, file.string(), ": expected UTF-8, found other bytes at ", valid);
  }
  return text;
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
    config.add_eos_token = root.flag("add_eos_token", config.add_eos_token);
    if (const auto tokenizer_class = root.text("tokenizer_class")) config.tokenizer_class = tokenizer_class;
    if (const auto node = root.find("added_tokens_decoder")) config.added_tokens = read_added_tokens_decoder(*node);
  }
  return config;
}

}  // namespace ffmem::tokenization
