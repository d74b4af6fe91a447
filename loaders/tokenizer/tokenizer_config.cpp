#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
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

/// Fields that name a token; others that end in "_token" do where they hold a text.
constexpr std::array kStandardNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

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

/// By name; a file that is read later adds what is not there yet.
struct NamedTokens {
  std::map<std::string, AddedToken> fields, of_objects;
};

/// special_tokens_map.json has objects that name a token's content; in tokenizer_config.json such an object says that it is
/// one.
enum class Objects { all, of_tokens };

bool names_token(std::string_view name, const nlohmann::json& value, Objects objects) {
  if (std::ranges::find(kStandardNames, name) != kStandardNames.end()) return !value.is_null();
  if (!name.ends_with("_token")) return false;
  if (value.is_object()) return objects == Objects::all || (value.contains("__type") && value["__type"] == "AddedToken");
  return value.is_string();
}

void read_special_tokens(const JsonNode& root, Objects objects, NamedTokens& named, TokenizerConfig& config) {
  for (const auto& [name, value] : root.object().items()) {
    if (names_token(name, value, objects)) named.fields.try_emplace(name, read_special_token(root.at(name)));
  }
  for (const std::string_view key : {"additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"}) {
    const auto further = root.find(key);
    if (!further) continue;
    if (further->is_array()) {
      for (const JsonNode& token : further->elements()) config.further_special_tokens.push_back(read_special_token(token));
    } else {
      for (const auto& [name, value] : further->object().items()) {
        named.of_objects.try_emplace(name, read_special_token(further->at(name)));
      }
    }
  }
}

/// The standard ones first, as in Transformers.
void take_in_order(NamedTokens named, TokenizerConfig& config) {
  for (const char* name : kStandardNames) {
    const auto token = named.fields.extract(name);
    if (!token) continue;
    if (token.key() == "bos_token") config.bos_token = token.mapped().content;
    if (token.key() == "eos_token") config.eos_token = token.mapped().content;
    config.named_tokens.push_back(std::move(token.mapped()));
  }
  for (auto* others : {&named.fields, &named.of_objects}) {
    for (auto& [name, token] : *others) config.named_tokens.push_back(std::move(token));
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
  std::ranges::sort(tokens, {}, &AddedToken::id);
  return tokens;
}

/// An empty object where there is no such file.
nlohmann::json read_file_if_there(const std::filesystem::path& file) {
  return may_exist(file) ? read_tokenizer_file(file) : nlohmann::json::object();
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
  const std::string config_name = (folder / "tokenizer_config.json").string();
  const nlohmann::json config_json = read_file_if_there(config_name);
  const JsonNode root(config_json, config_name);
  TokenizerConfig config;
  config.tokenizer_class = root.text("tokenizer_class");
  config.add_prefix_space = root.flag("add_prefix_space", false);
  config.add_bos_token = root.flag("add_bos_token", false);
  config.add_eos_token = root.flag("add_eos_token", false);
  if (const auto node = root.find("added_tokens_decoder")) config.added_tokens = read_added_tokens_decoder(*node);
  NamedTokens named;
  if (!config.added_tokens) {
    const std::string map_name = (folder / "special_tokens_map.json").string();
    const nlohmann::json map_json = read_file_if_there(map_name);
    read_special_tokens(JsonNode(map_json, map_name), Objects::all, named, config);
  }
  read_special_tokens(root, Objects::of_tokens, named, config);
  take_in_order(std::move(named), config);
  return config;
}

std::vector<AddedToken> read_added_tokens_json(const std::filesystem::path& folder, const TokenizerConfig& config) {
  const std::string file_name = (folder / "added_tokens.json").string();
  const nlohmann::json json = read_file_if_there(file_name);
  const JsonNode root(json, file_name);
  std::set<std::string> special;
  for (const auto* tokens : {&config.named_tokens, &config.further_special_tokens}) {
    for (const AddedToken& token : *tokens) special.insert(token.content);
  }
  std::vector<AddedToken> tokens;
  for (const auto& [content, id] : root.object().items()) {
    AddedToken token;
    token.content = content;
    token.id = read_token_id(root.at(content));
    token.special = special.contains(content);
    token.normalized = !token.special;
    tokens.push_back(std::move(token));
  }
  std::ranges::sort(tokens, {}, &AddedToken::id);
  return tokens;
}

}  // namespace ffmem::tokenization
