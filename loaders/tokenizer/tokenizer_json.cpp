#include <utility>

#include "loaders/tokenizer/components.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/json_node.hpp"
#include "loaders/tokenizer/pipeline.hpp"
#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

/// "a b" or ["a", "b"] as two tokens, neither empty; nothing for anything else.
std::optional<std::pair<std::string, std::string>> merge_parts(const nlohmann::json& merge) {
  std::string left, right;
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    left = merge[0].get<std::string>();
    right = merge[1].get<std::string>();
  } else if (merge.is_string()) {
    const auto& line = merge.get_ref<const std::string&>();
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) return std::nullopt;
    left = line.substr(0, space);
    right = line.substr(space + 1);
  }
  if (left.empty() || right.empty()) return std::nullopt;
  return std::pair(std::move(left), std::move(right));
}

bool is_version_line(const nlohmann::json& merge) {
  return merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version");
}

std::vector<Bpe::Merge> read_merges(const JsonNode& node, const Vocabulary& vocabulary) {
  const nlohmann::json& list = node.array();
  std::vector<Bpe::Merge> merges;
  merges.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (is_version_line(list[i])) continue;
    const auto parts = merge_parts(list[i]);
    if (!parts) node.at(i).invalid("two tokens, as 'a b' or ['a', 'b']");
    const auto id_of = [&](const std::string& token) {
      const auto id = vocabulary.find(token);
      if (!id) node.at(i).invalid("a merge of tokens of the vocabulary, which lacks '" + shown_text(token) + "'");
      return *id;
    };
    merges.push_back({id_of(parts->first), id_of(parts->second), id_of(parts->first + parts->second)});
  }
  return merges;
}

BpeOptions read_bpe_options(const JsonNode& model) {
  if (const auto dropout = model.find("dropout"); dropout && !dropout->is_zero()) dropout->unsupported("dropout");
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto affix = model.find(key);
    if (affix && !affix->text().empty()) affix->unsupported("a prefix or suffix of subwords");
  }
  BpeOptions options;
  options.unknown_token = model.text("unk_token");
  options.fuse_unknown = model.flag("fuse_unk", false);
  options.byte_fallback = model.flag("byte_fallback", false);
  options.ignore_merges = model.flag("ignore_merges", false);
  return options;
}

/// Files of early versions leave the type out.
std::string model_type(const JsonNode& model) {
  const auto type = model.text("type");
  if (type) return *type;
  if (!model.find("merges")) model.unsupported("a model without type");
  return "BPE";
}

void read_model(const JsonNode& root, PipelineParts& parts) {
  const JsonNode model = root.at("model");
  const std::string type = model_type(model);
  if (type != "BPE" && type != "WordLevel") model.unsupported("the model " + type);
  parts.vocabulary = read_vocabulary(model.at("vocab"));
  PreTokenizerChain& chain = parts.pre_tokenizers;
  const bool takes_bytes = type == "BPE" && Bpe::has_byte_alphabet(*parts.vocabulary);
  if (const auto node = root.find("pre_tokenizer")) chain = read_pre_tokenizers(*node, takes_bytes);
  if (type == "WordLevel") {
    parts.model = std::make_unique<WordLevel>(parts.vocabulary, model.text("unk_token").value_or("<unk>"), model.origin());
    return;
  }
  const auto input = chain.puts_out_bytes ? Bpe::Input::bytes : Bpe::Input::characters;
  const auto merges = read_merges(model.at("merges"), *parts.vocabulary);
  parts.model = std::make_unique<Bpe>(parts.vocabulary, merges, read_bpe_options(model), input, model.origin());
}

std::vector<AddedToken> read_added_tokens(const JsonNode& node) {
  std::vector<AddedToken> tokens;
  for (const JsonNode& element : node.elements()) {
    AddedToken token = read_added_token(element, false);
    token.id = read_token_id(element.at("id"));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer_json(const std::filesystem::path& file) {
  const nlohmann::json json = read_tokenizer_file(file);
  PipelineParts parts;
  parts.origin = file.string();
  const JsonNode root(json, parts.origin);
  read_model(root, parts);
  if (const auto node = root.find("added_tokens")) parts.added_tokens = read_added_tokens(*node);
  if (const auto node = root.find("normalizer")) parts.normalizers = read_normalizers(*node);
  if (const auto node = root.find("post_processor")) {
    Surroundings around = read_post_processor(*node);
    parts.prefix = std::move(around.prefix);
    parts.suffix = std::move(around.suffix);
  }
  if (const auto node = root.find("decoder")) {
    parts.decoder = read_decoder(*node);
  } else {
    parts.decoder.push_back(space_joining_step());
  }
  TokenizerConfig config = read_tokenizer_config(file.parent_path());
  parts.added_tokens = with_tokens_beside(std::move(parts.added_tokens), file.parent_path(), config, *parts.vocabulary);
  parts.bos_token = std::move(config.bos_token);
  parts.eos_token = std::move(config.eos_token);
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

}  // namespace ffmem::tokenization
