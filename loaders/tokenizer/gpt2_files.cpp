#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "loaders/tokenizer/components.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/pipeline.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

Bpe::Merge read_merge_line(std::string_view line, const std::filesystem::path& file, std::size_t number,
                           const Vocabulary& vocabulary) {
  const auto place = [&] { return concat(file.string(), ": line ", number); };
  const std::size_t space = line.find(' ');
  const bool is_pair = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                       line.find(' ', space + 1) == std::string_view::npos;
  if (!is_pair)
    fail(ErrorCode::tokenizer_invalid, place(), ": expected two tokens and one space, found '", shown_text(line), "'");
  const std::string left(line.substr(0, space));
  const std::string right(line.substr(space + 1));
  const auto id_of = [&](const std::string& token) {
    const auto id = vocabulary.find(token);
    if (!id)
      fail(ErrorCode::tokenizer_invalid, place(), ": expected tokens of vocab.json, which lacks '", shown_text(token), "'");
    return *id;
  };
  return {id_of(left), id_of(right), id_of(left + right)};
}

std::vector<Bpe::Merge> read_merges_txt(const std::filesystem::path& file, const Vocabulary& vocabulary) {
  const std::string text = read_tokenizer_text(file);
  std::vector<Bpe::Merge> merges;
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    merges.push_back(read_merge_line(line, file, number, vocabulary));
  }
  return merges;
}

constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Of the classes that read vocab.json and merges.txt, others cut or normalise a text in other ways, or put other tokens
/// around.
void check_class(const TokenizerConfig& config, const std::filesystem::path& folder) {
  if (!config.tokenizer_class) return;
  std::string_view name = *config.tokenizer_class;
  if (name.ends_with("Fast")) name.remove_suffix(4);
  if (name == "GPT2Tokenizer" || name == "CodeGenTokenizer") return;
  fail(ErrorCode::tokenizer_unsupported, (folder / "tokenizer_config.json").string(),
       ": tokenizer_class: expected GPT2Tokenizer or CodeGenTokenizer, as which vocab.json and merges.txt are read, found '",
       shown_text(*config.tokenizer_class), "'; a tokenizer.json would be read whatever the class");
}

/// Those that the files beside give an id, and of those that they only name the vocabulary's.
std::vector<AddedToken> read_added_tokens(const TokenizerConfig& config, const Vocabulary& vocabulary,
                                          const std::filesystem::path& folder) {
  std::vector<AddedToken> tokens = config.added_tokens ? *config.added_tokens : read_added_tokens_json(folder, config);
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < tokens.size(); ++i) places.emplace(tokens[i].content, i);
  const auto name = [&](AddedToken token) {
    const auto [place, is_new] = places.emplace(token.content, tokens.size());
    if (!is_new) {
      tokens[place->second].special = true;
      return;
    }
    const auto id = vocabulary.find(token.content);
    if (!id) {
      fail(ErrorCode::tokenizer_invalid, folder.string(), ": special token '", shown_text(token.content),
           "': expected an id in vocab.json, added_tokens.json or tokenizer_config.json's added_tokens_decoder, found none");
    }
    token.id = *id;
    tokens.push_back(std::move(token));
  };
  for (const auto* special : {&config.named_tokens, &config.further_special_tokens}) {
    for (const AddedToken& token : *special) {
      if (!token.content.empty()) name(token);
    }
  }
  AddedToken end_of_text;
  end_of_text.content = kEndOfText;
  end_of_text.special = true;
  if (vocabulary.find(kEndOfText) || places.contains(end_of_text.content)) name(end_of_text);
  return tokens;
}

std::optional<TokenId> find_id(const std::vector<AddedToken>& tokens, std::string_view content) {
  const auto found = std::ranges::find(tokens, content, &AddedToken::content);
  return found == tokens.end() ? std::nullopt : std::optional(found->id);
}

}  // namespace

std::shared_ptr<const Tokenizer> load_gpt2_files(const std::filesystem::path& vocab, const std::filesystem::path& merges) {
  const std::filesystem::path folder = vocab.parent_path();
  const TokenizerConfig config = read_tokenizer_config(folder);
  check_class(config, folder);
  PipelineParts parts;
  parts.origin = vocab.string();
  const nlohmann::json vocabulary = read_tokenizer_file(vocab);
  parts.vocabulary = read_vocabulary(JsonNode(vocabulary, parts.origin));
  const bool takes_bytes = Bpe::has_byte_alphabet(*parts.vocabulary);
  parts.pre_tokenizers.origin = parts.origin;
  parts.pre_tokenizers.steps.push_back(byte_level_pre_tokenizer({config.add_prefix_space, true, !takes_bytes}));
  parts.model = std::make_unique<Bpe>(parts.vocabulary, read_merges_txt(merges, *parts.vocabulary), BpeOptions{},
                                      takes_bytes ? Bpe::Input::bytes : Bpe::Input::characters, parts.origin);
  parts.added_tokens = read_added_tokens(config, *parts.vocabulary, folder);
  parts.decoder.push_back(byte_level_step());
  const auto fallback = find_id(parts.added_tokens, kEndOfText) ? std::optional<std::string>(kEndOfText) : std::nullopt;
  parts.bos_token = config.bos_token ? config.bos_token : fallback;
  parts.eos_token = config.eos_token ? config.eos_token : fallback;
  const auto put = [&](bool wanted, const std::optional<std::string>& token, std::vector<TokenId>& around) {
    const auto id = wanted && token ? find_id(parts.added_tokens, *token) : std::nullopt;
    if (id) around.push_back(*id);
  };
  put(config.add_bos_token, parts.bos_token, parts.prefix);
  put(config.add_eos_token, parts.eos_token, parts.suffix);
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace ffmem::tokenization
