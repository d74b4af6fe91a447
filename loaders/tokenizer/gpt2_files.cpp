#include <algorithm>
#include <utility>

#include "loaders/mapped_file.hpp"
#include "loaders/tokenizer/components.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/pipeline.hpp"
#include "loaders/tokenizer/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

Bpe::Merge read_merge_line(std::string_view line, const std::filesystem::path& file, std::size_t number,
                           const Vocabulary& vocabulary) {
  const auto place = [&] { return concat(file.string(), ": line ", number); };
  const std::size_t space = line.find(' ');
  const bool is_pair = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                       line.find(' ', space + 1) == std::string_view::npos;
  if (!is_pair) fail(ErrorCode::tokenizer_invalid, place(), ": expected two tokens and one space, found '", line, "'");
  const std::string left(line.substr(0, space));
  const std::string right(line.substr(space + 1));
  const auto id_of = [&](const std::string& token) {
    const auto id = vocabulary.find(token);
    if (!id) fail(ErrorCode::tokenizer_invalid, place(), ": expected tokens of vocab.json, which lacks '", token, "'");
    return *id;
  };
  return {id_of(left), id_of(right), id_of(left + right)};
}

std::vector<Bpe::Merge> read_merges_txt(const std::filesystem::path& file, const Vocabulary& vocabulary) {
  const std::string text = read_text_file(file);
  if (valid_utf8_prefix(text) < text.size()) {
    fail(ErrorCode::tokenizer_invalid, file.string(), ": expected UTF-8, found other bytes at ", valid_utf8_prefix(text));
  }
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

/// Special tokens are those that the files beside name, and GPT-2's own.
std::vector<AddedToken> special_tokens(const TokenizerConfig& config, const Vocabulary& vocabulary) {
  std::vector<AddedToken> named = config.special_tokens;
  AddedToken end_of_text;
  end_of_text.content = "<|endoftext|>";
  end_of_text.special = true;
  named.push_back(end_of_text);
  std::vector<AddedToken> found;
  for (AddedToken& token : named) {
    const auto id = vocabulary.find(token.content);
    const bool is_new =
        std::none_of(found.begin(), found.end(), [&](const AddedToken& f) { return f.content == token.content; });
    if (!id || !is_new) continue;
    token.id = *id;
    found.push_back(std::move(token));
  }
  return found;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_gpt2_files(const std::filesystem::path& vocab, const std::filesystem::path& merges) {
  const TokenizerConfig config = read_tokenizer_config(vocab.parent_path());
  PipelineParts parts;
  parts.origin = vocab.string();
  const nlohmann::json vocabulary = read_tokenizer_file(vocab);
  parts.vocabulary = read_vocabulary(JsonNode(vocabulary, parts.origin));
  const bool takes_bytes = Bpe::has_byte_alphabet(*parts.vocabulary);
  parts.pre_tokenizers.push_back(byte_level_pre_tokenizer({config.add_prefix_space, true, !takes_bytes}));
  parts.model = std::make_unique<Bpe>(parts.vocabulary, read_merges_txt(merges, *parts.vocabulary), BpeOptions{},
                                      takes_bytes ? Bpe::Input::bytes : Bpe::Input::characters, parts.origin);
  parts.added_tokens = special_tokens(config, *parts.vocabulary);
  parts.decoder.push_back(byte_level_step());
  const bool has_end_of_text = parts.vocabulary->find("<|endoftext|>").has_value();
  const auto fallback = has_end_of_text ? std::optional<std::string>("<|endoftext|>") : std::nullopt;
  parts.bos_token = config.bos_token ? config.bos_token : fallback;
  parts.eos_token = config.eos_token ? config.eos_token : fallback;
  if (config.add_bos_token && parts.bos_token) {
    if (const auto bos = parts.vocabulary->find(*parts.bos_token)) parts.prefix.push_back(*bos);
  }
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace ffmem::tokenization
