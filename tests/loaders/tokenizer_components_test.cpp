// Single components of tokenizer.json against the reference library's results (make_tokenizer_cases.py).
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "loaders/tokenizer/components.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem::tokenization {
namespace {

using nlohmann::json;

const std::string kFile = "tokenizer.json";

const json& cases() {
  static const json file = [] {
    std::ifstream in(std::filesystem::path(FFMEM_TEST_DATA) / "tokenizers" / "components.json");
    return json::parse(in);
  }();
  return file;
}

std::vector<std::string> pieces(const json& spec, const std::string& text) {
  const auto chain = read_pre_tokenizers(JsonNode(spec, kFile), false);
  TextBudget budget(text);
  std::vector<std::string> result;
  if (!text.empty()) pre_tokenize(chain, {text, true}, budget, [&](Piece piece) { result.emplace_back(piece.text); });
  return result;
}

json split_spec(const std::string& regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Error split_error(const std::string& regex, const std::string& text = "a") {
  const json spec = split_spec(regex);
  return thrown([&] { pieces(spec, text); });
}

TEST_CASE("pre-tokenizers: pieces are those of the reference library") {
  for (const json& c : cases()["pre_tokenizers"]) {
    CAPTURE(c["spec"].dump());
    for (std::size_t i = 0; i < cases()["texts"].size(); ++i) {
      const auto text = cases()["texts"][i].get<std::string>();
      CAPTURE(text);
      CHECK(pieces(c["spec"], text) == c["pieces"][i].get<std::vector<std::string>>());
    }
  }
}

TEST_CASE("normalizers: texts are those of the reference library") {
  for (const json& c : cases()["normalizers"]) {
    CAPTURE(c["spec"].dump());
    const auto normalizers = read_normalizers(JsonNode(c["spec"], kFile));
    for (std::size_t i = 0; i < cases()["texts"].size(); ++i) {
      TextBudget budget;
      NormalizedText text{cases()["texts"][i].get<std::string>(), true, budget};
      for (const auto& normalizer : normalizers) normalizer->apply(text);
      CHECK(text.text == c["texts"][i].get<std::string>());
    }
  }
}

TEST_CASE("decoders: texts are those of the reference library") {
  for (const json& c : cases()["decoders"]) {
    CAPTURE(c["spec"].dump());
    const auto steps = read_decoder(JsonNode(c["spec"], kFile));
    for (std::size_t i = 0; i < cases()["tokens"].size(); ++i) {
      if (c["texts"][i].is_null()) continue;  // the reference library panics
      Decoding decoding(steps);
      std::string text;
      for (const json& token : cases()["tokens"][i]) text += decoding.push(token.get<std::string>());
      text += decoding.finish();
      CAPTURE(cases()["tokens"][i].dump());
      CHECK(text == c["texts"][i].get<std::string>());
    }
  }
}

TEST_CASE("pre-tokenizers: bytes left to the model are those that ByteLevel would spell") {
  const json spec = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  const auto chain = read_pre_tokenizers(JsonNode(spec, kFile), true);
  CHECK(chain.puts_out_bytes);
  std::vector<std::string> result;
  TextBudget budget;
  pre_tokenize(chain, {"é 中", true}, budget, [&](Piece piece) { result.emplace_back(piece.text); });
  CHECK(result == std::vector<std::string>{" é", " 中"});
}

TEST_CASE("regular expressions: what this program does not translate is refused by name") {
  struct Refused {
    std::string regex, what;
  };
  for (const Refused& refused : std::vector<Refused>{
           {"[a&&b]", "'&&'"},
           {"[[:alpha:]]", "'[:'"},
           {"(?<name>a)", "kind of group"},
           {"(a)\\1", "'\\1'"},
           {"(?m:.)", "kind of group"},
           {"a(?i)b", "kind of group"},
           {"(*ACCEPT)", "'(*'"},
           {"\\X", "'\\X'"},
           {"\\p{Han}", "the property Han"},
           {"a{2}?", "'{n}?'"},
           {"[]a]", "']'"},
           {"\\xFF", "bytes above 7F"},
           {"(?i:ss)", "case is ignored"},
           {"(?i:\xC3\x9F)", "case is ignored"},
           {"(?i:[\\p{Lu}])", "\\p{Lu}"},
           {"(?i)[[^a]]", "a complemented class in a class where case is ignored"},
           {"(?i:[^b[^a]])", "a complemented class in a class"},
           {"(?<=a+)b", "PCRE2"},
       }) {
    CAPTURE(refused.regex);
    const Error error = split_error(refused.regex);
    CHECK(error.code() == ErrorCode::tokenizer_unsupported);
    CHECK(contains(error.what(), "tokenizer.json: pattern: regular expression " + refused.regex));
    CHECK(contains(error.what(), refused.what));
  }
}

TEST_CASE("regular expressions: malformed ones are refused with the place") {
  for (const std::string regex :
       {"(a", "a)", "[a", "[a[b]", "a|*", "+", "\\", "[\\", "\\p{L", "\\pL", "[z-a]", "\\x{110000}", "\\uD800", "\\x{}"}) {
    CAPTURE(regex);
    const Error error = split_error(regex);
    CHECK(error.code() == ErrorCode::tokenizer_invalid);
    CHECK(contains(error.what(), "at byte "));
  }
  CHECK(split_error(std::string(100, '[')).code() == ErrorCode::tokenizer_unsupported);  // deeper than any honest pattern
}

TEST_CASE("regular expressions: one that backtracks without end is stopped by an error") {
  const Error error = split_error("(a+)+$", std::string(5000, 'a') + "!");
  CHECK(error.code() == ErrorCode::tokenizer_unsupported);
  CHECK(contains(error.what(), "tokenizer.json: pattern: regular expression (a+)+$: on this text: "));
}

TEST_CASE("regular expressions: long matches need no deep stack") {
  const std::string text(500'000, 'a');  // frames of PCRE2 10.46 are larger: four times this meets the heap limit
  CHECK(pieces(split_spec("(?:a|b)+"), text).size() == 1);
  CHECK(pieces(split_spec("(?:[a-z]|[0-9])*c|a"), text + "c").size() == 1);
}

TEST_CASE("components: what is unknown is refused with its name and place") {
  const auto refused = [](auto&& read, const json& spec) {
    const Error error = thrown([&] { read(JsonNode(spec, kFile)); });
    CHECK(error.code() == ErrorCode::tokenizer_unsupported);
    return std::string(error.what());
  };
  const auto pre = [](const JsonNode& node) { read_pre_tokenizers(node, false); };
  CHECK(contains(
      refused(pre, {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Whitespace"}}, {{"type", "BertPreTokenizer"}}}}}),
      "tokenizer.json: pretokenizers[1]: this program does not implement the pre-tokenizer BertPreTokenizer"));
  CHECK(contains(refused(pre, {{"type", "Split"}, {"pattern", {{"String", ""}}}}),
                 "pattern: this program does not implement an empty"));
  CHECK(contains(refused(pre, {{"type", "Punctuation"}, {"behavior", "Sideways"}}),
                 "behavior: this program does not implement Sideways"));
  CHECK(contains(refused(read_normalizers, {{"type", "Precompiled"}}), "the normalizer Precompiled"));
  CHECK(contains(refused(read_decoder, {{"type", "WordPiece"}}), "the decoder WordPiece"));
  CHECK(contains(refused(read_post_processor, {{"type", "BertProcessing"}}), "the post-processor BertProcessing"));
}

json sequence(const std::string& list, std::size_t n, const json& component) {
  return {{"type", "Sequence"}, {list, json(n, component)}};
}

TEST_CASE("components: 64 in a row are read, one more is refused with its place") {
  const auto check = [](auto&& read, const std::string& list, const json& component) {
    CAPTURE(list);
    const json all = sequence(list, kMostSteps, component);
    read(JsonNode(all, kFile));
    const json nested = sequence(list, 2, all);
    const Error error = thrown([&] { read(JsonNode(nested, kFile)); });
    CHECK(error.code() == ErrorCode::tokenizer_unsupported);
    CHECK(contains(error.what(), list + "[1]." + list + "[0]: this program does not implement more than 64 components"));
  };
  check(read_normalizers, "normalizers", {{"type", "Lowercase"}});
  check([](const JsonNode& node) { read_pre_tokenizers(node, false); }, "pretokenizers", {{"type", "Whitespace"}});
  check(read_decoder, "decoders", {{"type", "Fuse"}});
  check(read_post_processor, "processors", {{"type", "ByteLevel"}});
}

TEST_CASE("pre-tokenizers: as many as there may be cut up a long text") {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "word ";
  CHECK(pieces(sequence("pretokenizers", kMostSteps, {{"type", "Whitespace"}}), text).size() == 10'000);
  CHECK(pieces(sequence("pretokenizers", kMostSteps, {{"type", "Digits"}}), text) == std::vector{text});
}

TEST_CASE("components: malformed ones are refused with the place") {
  const auto invalid = [](auto&& read, const json& spec) {
    const Error error = thrown([&] { read(JsonNode(spec, kFile)); });
    CHECK(error.code() == ErrorCode::tokenizer_invalid);
    return std::string(error.what());
  };
  const auto pre = [](const JsonNode& node) { read_pre_tokenizers(node, false); };
  CHECK(contains(invalid(pre, json::object()), "expected a field 'type', found {}"));
  CHECK(contains(invalid(pre, {{"type", 3}}), "tokenizer.json: type: expected a text, found 3"));
  CHECK(
      contains(invalid(pre, {{"type", "Metaspace"}, {"replacement", "ab"}}), "replacement: expected a text of one character"));
  CHECK(contains(
      invalid(pre, {{"type", "Metaspace"}, {"replacement", "_"}, {"add_prefix_space", false}, {"prepend_scheme", "first"}}),
      "prepend_scheme 'never'"));
  CHECK(
      contains(invalid(pre, {{"type", "Digits"}, {"individual_digits", "yes"}}), "individual_digits: expected true or false"));
  CHECK(contains(invalid(read_decoder, {{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 0}}),
                 "start: expected a whole number"));
  CHECK(contains(invalid(read_normalizers, {{"type", "Replace"}, {"pattern", "a"}, {"content", ""}}),
                 "pattern: expected an object"));
  CHECK(contains(invalid(read_normalizers, {{"type", "Sequence"}, {"normalizers", 1}}),
                 "normalizers: expected an array, found 1"));
}

TEST_CASE("post-processors: templates of a sequence wrap one another") {
  const json special = {{"<s>", {{"id", "<s>"}, {"ids", {1, 7}}}}, {"</s>", {{"id", "</s>"}, {"ids", {2}}}}};
  const auto element = [](const char* name) { return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}}; };
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const json inner = {{"type", "TemplateProcessing"}, {"single", {element("<s>"), text}}, {"special_tokens", special}};
  const json outer = {
      {"type", "TemplateProcessing"}, {"single", {element("</s>"), text, element("</s>")}}, {"special_tokens", special}};
  const json spec = {{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, inner, outer}}};
  const Surroundings around = read_post_processor(JsonNode(spec, kFile));
  CHECK(around.prefix == std::vector<TokenId>{2, 1, 7});
  CHECK(around.suffix == std::vector<TokenId>{2});

  const json twice = {{"type", "TemplateProcessing"}, {"single", {text, text}}, {"special_tokens", special}};
  CHECK(thrown([&] { read_post_processor(JsonNode(twice, kFile)); }).code() == ErrorCode::tokenizer_unsupported);
  const json unknown = {{"type", "TemplateProcessing"}, {"single", {element("<x>"), text}}, {"special_tokens", special}};
  CHECK(contains(thrown([&] { read_post_processor(JsonNode(unknown, kFile)); }).what(),
                 "special_tokens: expected a field '<x>'"));
}

}  // namespace
}  // namespace ffmem::tokenization
