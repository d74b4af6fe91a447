#include "loaders/tokenizer/components.hpp"

#include <algorithm>
#include <array>

#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/text_budget.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

std::string type_of(const JsonNode& node) { return node.at("type").text(); }

/// A component, or the components of (nested) Sequences, in order. `list` is the name of a Sequence's field.
void flatten(const JsonNode& node, std::string_view list, std::vector<JsonNode>& components) {
  if (type_of(node) != "Sequence") {
    if (components.size() == kMostSteps) node.unsupported(concat("more than ", kMostSteps, " components in a row"));
    components.push_back(node);
    return;
  }
  for (const JsonNode& element : node.at(list).elements()) flatten(element, list, components);
}

std::vector<JsonNode> flattened(const JsonNode& node, std::string_view list) {
  std::vector<JsonNode> components;
  flatten(node, list, components);
  return components;
}

/// Of Split and Replace: {"String": ...} or {"Regex": ...}.
std::string literal_of(const JsonNode& pattern) {
  std::string text = pattern.at("String").text();
  if (text.empty()) pattern.unsupported("an empty pattern");
  return text;
}

std::unique_ptr<const Pattern> regex_of(const JsonNode& pattern) {
  const std::string regex = pattern.at("Regex").text();
  if (regex.empty()) pattern.unsupported("an empty pattern");
  return regex_pattern(regex, pattern.origin());
}

std::unique_ptr<const Pattern> pattern_of(const JsonNode& pattern) {
  return pattern.find("Regex") ? regex_of(pattern) : literal_pattern(literal_of(pattern));
}

SplitBehavior behavior_of(const JsonNode& node, SplitBehavior fallback) {
  struct Name {
    std::string_view name;
    SplitBehavior behavior;
  };
  static constexpr auto names = std::to_array<Name>({
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  });
  const auto field = node.find("behavior");
  if (!field) return fallback;
  const std::string text = field->text();
  const auto* found = std::find_if(names.begin(), names.end(), [&](const Name& name) { return name.name == text; });
  if (found == names.end()) field->unsupported(text);
  return found->behavior;
}

/// Older files say add_prefix_space, newer ones prepend_scheme.
MetaspaceOptions::Prepend prepend_of(const JsonNode& node) {
  using Prepend = MetaspaceOptions::Prepend;
  const bool add_prefix_space = node.flag("add_prefix_space", true);
  const std::string scheme = node.text("prepend_scheme").value_or(add_prefix_space ? "always" : "never");
  if (scheme == "never") return Prepend::never;
  if (!add_prefix_space) node.invalid("prepend_scheme 'never' where add_prefix_space is false");
  if (scheme == "always") return Prepend::always;
  if (scheme == "first") return Prepend::first;
  node.unsupported("prepend_scheme " + scheme);
}

std::string replacement_of(const JsonNode& node) {
  const JsonNode replacement = node.at("replacement");
  replacement.character();
  return replacement.text();
}

std::unique_ptr<const Normalizer> read_normalizer(const JsonNode& node) {
  const std::string type = type_of(node);
  if (type == "NFC") return unicode_normalizer(UnicodeForm::nfc);
  if (type == "NFD") return unicode_normalizer(UnicodeForm::nfd);
  if (type == "NFKC") return unicode_normalizer(UnicodeForm::nfkc);
  if (type == "NFKD") return unicode_normalizer(UnicodeForm::nfkd);
  if (type == "Lowercase") return lowercase_normalizer();
  if (type == "Prepend") return prepend_normalizer(node.at("prepend").text(), node.origin());
  if (type == "Replace") {
    return replace_normalizer(pattern_of(node.at("pattern")), node.at("content").text(), node.origin());
  }
  if (type == "Strip") return strip_normalizer(node.flag("strip_left", true), node.flag("strip_right", true));
  if (type == "StripAccents") return strip_accents_normalizer();
  node.unsupported("the normalizer " + type);
}

std::unique_ptr<const PreTokenizer> read_pre_tokenizer(const JsonNode& node, bool spell) {
  const std::string type = type_of(node);
  if (type == "ByteLevel") {
    return byte_level_pre_tokenizer({node.flag("add_prefix_space", true), node.flag("use_regex", true), spell});
  }
  if (type == "Split") {
    return split_pre_tokenizer(pattern_of(node.at("pattern")), behavior_of(node, SplitBehavior::isolated),
                               node.flag("invert", false));
  }
  if (type == "Digits") {
    const bool individual = node.flag("individual_digits", false);
    return character_pre_tokenizer(is_numeric, individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
  }
  if (type == "Punctuation") return character_pre_tokenizer(is_punctuation, behavior_of(node, SplitBehavior::isolated));
  if (type == "WhitespaceSplit") return character_pre_tokenizer(is_white_space, SplitBehavior::removed);
  if (type == "Whitespace") return whitespace_pre_tokenizer();
  if (type == "Metaspace") {
    return metaspace_pre_tokenizer({replacement_of(node), prepend_of(node), node.flag("split", true)});
  }
  node.unsupported("the pre-tokenizer " + type);
}

std::unique_ptr<const DecoderStep> read_decoder_step(const JsonNode& node) {
  const std::string type = type_of(node);
  if (type == "ByteLevel") return byte_level_step();
  if (type == "ByteFallback") return byte_fallback_step();
  if (type == "Fuse") return fuse_step();
  if (type == "Replace") {
    const JsonNode pattern = node.at("pattern");
    std::string content = node.at("content").text();
    if (pattern.find("Regex")) return replace_pattern_step(regex_of(pattern), std::move(content), node.origin());
    return replace_text_step(literal_of(pattern), std::move(content), node.origin());
  }
  if (type == "Strip") return strip_step(node.at("content").character(), node.at("start").size(), node.at("stop").size());
  if (type == "Metaspace") {
    return metaspace_step(node.at("replacement").character(), prepend_of(node) != MetaspaceOptions::Prepend::never);
  }
  node.unsupported("the decoder " + type);
}

constexpr std::size_t kMostAround = 1024;

/// The ids that a template names by `name`.
std::vector<TokenId> template_ids(const JsonNode& processor, const std::string& name) {
  std::vector<TokenId> ids;
  for (const JsonNode& id : processor.at("special_tokens").at(name).at("ids").elements()) {
    ids.push_back(read_token_id(id));
  }
  return ids;
}

Surroundings read_template(const JsonNode& processor) {
  Surroundings around;
  bool seen_text = false;
  for (const JsonNode& element : processor.at("single").elements()) {
    if (const auto special = element.find("SpecialToken")) {
      const auto ids = template_ids(processor, special->at("id").text());
      auto& side = seen_text ? around.suffix : around.prefix;
      side.insert(side.end(), ids.begin(), ids.end());
      if (side.size() > kMostAround) processor.unsupported(concat("more than ", kMostAround, " tokens around a text"));
      continue;
    }
    const JsonNode id = element.at("Sequence").at("id");
    if (id.text() != "A" || seen_text) id.unsupported("a template that does not hold the text A once");
    seen_text = true;
  }
  if (!seen_text) processor.unsupported("a template without the text A");
  return around;
}

}  // namespace

std::shared_ptr<const Vocabulary> read_vocabulary(const JsonNode& node) {
  auto vocabulary = std::make_shared<Vocabulary>(node.object().size());
  const std::string origin = node.origin();
  for (const auto& [token, id] : node.object().items()) {
    if (!id.is_number_unsigned()) node.at(token).invalid("an id");
    vocabulary->add(token, id.get<std::size_t>(), origin);
  }
  return vocabulary;
}

Normalizers read_normalizers(const JsonNode& node) {
  Normalizers normalizers;
  for (const JsonNode& component : flattened(node, "normalizers")) normalizers.push_back(read_normalizer(component));
  return normalizers;
}

PreTokenizerChain read_pre_tokenizers(const JsonNode& node, bool model_takes_bytes) {
  PreTokenizerChain chain;
  chain.origin = node.origin();
  const auto components = flattened(node, "pretokenizers");
  chain.puts_out_bytes = model_takes_bytes && !components.empty() && type_of(components.back()) == "ByteLevel";
  for (std::size_t i = 0; i < components.size(); ++i) {
    const bool spell = !(chain.puts_out_bytes && i + 1 == components.size());
    chain.steps.push_back(read_pre_tokenizer(components[i], spell));
  }
  return chain;
}

DecoderSteps read_decoder(const JsonNode& node) {
  DecoderSteps steps;
  for (const JsonNode& component : flattened(node, "decoders")) steps.push_back(read_decoder_step(component));
  return steps;
}

Surroundings read_post_processor(const JsonNode& node) {
  Surroundings around;
  for (const JsonNode& component : flattened(node, "processors")) {
    const std::string type = type_of(component);
    if (type == "ByteLevel") continue;  // moves offsets only
    if (type != "TemplateProcessing") component.unsupported("the post-processor " + type);
    const Surroundings outer = read_template(component);
    around.prefix.insert(around.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
    around.suffix.insert(around.suffix.end(), outer.suffix.begin(), outer.suffix.end());
  }
  return around;
}

}  // namespace ffmem::tokenization
