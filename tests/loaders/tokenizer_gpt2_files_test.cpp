// GPT-2's vocab.json and merges.txt, and what the files beside them say.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "loaders/tokenizer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using Ids = std::vector<TokenId>;

const std::filesystem::path kFolder = std::filesystem::path(FFMEM_TEST_DATA) / "tokenizers";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_CASE("GPT-2's files: the same tokenizer as its tokenizer.json") {
  const TemporaryFolder folder;
  folder.write("vocab.json", read_file(kFolder / "gpt2" / "vocab.json"));
  folder.write("merges.txt", read_file(kFolder / "gpt2" / "merges.txt"));
  const auto from_files = Tokenizer::load(folder.path());
  const auto from_json = Tokenizer::load(kFolder / "gpt2");
  const std::string text = "Hello, world! It's 1999.\n\n  <|endoftext|> é 中文 " + read_file(kFolder / "gpt2" / "merges.txt");
  CHECK(from_files->encode(text) == from_json->encode(text));
  CHECK(from_files->decode(from_files->encode(text)) == text);
  CHECK(from_files->bos() == from_json->find("<|endoftext|>"));
  CHECK(from_files->eos() == from_json->find("<|endoftext|>"));
  CHECK(from_files->is_special(*from_files->eos()));
}

TEST_CASE("GPT-2's files: the files beside name special tokens and what is put in front") {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġa": 4, "</s>": 5, "<m>": 6})");
  folder.write("merges.txt", "#version: 0.2\r\na b\r\nĠ a\r\n");
  CHECK(Tokenizer::load(folder.path())->encode("ab a</s>") == Ids{2, 4});  // characters without token vanish
  CHECK(Tokenizer::load(folder.path())->bos() == std::nullopt);
  folder.write("special_tokens_map.json", R"({"bos_token": "</s>", "mask_token": {"content": "<m>", "lstrip": true}})");
  folder.write("tokenizer_config.json", R"({"add_bos_token": true, "add_prefix_space": true})");
  const auto tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer->encode("ab  <m>a</s>", Tokenizer::Special::add) == Ids{5, 3, 2, 6, 4, 5});
  CHECK(tokenizer->encode("a") == Ids{4});
  CHECK(tokenizer->bos() == 5);
  CHECK(tokenizer->decode(Ids{5, 0, 6, 1}, Tokenizer::SpecialText::skip) == "ab");
}

TEST_CASE("GPT-2's files: added tokens have their ids and flags from tokenizer_config.json or added_tokens.json") {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "c": 7})");
  folder.write("merges.txt", "a b\n");
  folder.write("added_tokens.json", R"({"<x>": 4, "<pad>": 6, "bb": 5})");
  folder.write("special_tokens_map.json",
               R"({"pad_token": {"content": "<pad>", "lstrip": true}, "extra_special_tokens": ["c"]})");
  const auto by_list = Tokenizer::load(folder.path());
  CHECK(by_list->encode("a<x>ab <pad>bba") == Ids{0, 4, 2, 3, 6, 5, 0});  // the list's flags count: <pad> takes no space along
  CHECK(by_list->decode(Ids{4, 6, 5}, Tokenizer::SpecialText::skip) == "<x>bb");
  CHECK(by_list->is_special(7));
  CHECK(by_list->vocab_size() == 8);

  folder.write("special_tokens_map.json", R"({"pad_token": "<y>"})");
  folder.write("tokenizer_config.json", R"({"extra_special_tokens": {"image_token": "<y>"}, "added_tokens_decoder": {
    "4": {"content": "<y>", "lstrip": false, "rstrip": true, "normalized": false, "single_word": false, "special": false},
    "5": {"content": "<z>", "special": true}, "6": {"content": "<b>"}}})");
  const auto by_config = Tokenizer::load(folder.path());
  CHECK(by_config->encode("a<y>  b<z><x>") == Ids{0, 4, 1, 5});  // added_tokens.json is not looked at
  CHECK(by_config->decode(Ids{4, 5, 6}, Tokenizer::SpecialText::skip) == "<b>");
}

TEST_CASE("GPT-2's files: first and last token may be added ones, and go around a text where that is asked for") {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0, "</s>": 1})");
  folder.write("merges.txt", "");
  folder.write("added_tokens.json", R"({"<s>": 2})");
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": true})");
  const auto tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer->encode("a", Tokenizer::Special::add) == Ids{2, 0, 1});
  CHECK(tokenizer->bos() == 2);
  folder.write("tokenizer_config.json", R"({"add_eos_token": true})");
  folder.write("added_tokens.json", R"({"<|endoftext|>": 2})");  // GPT-2's by default
  CHECK(Tokenizer::load(folder.path())->encode("a", Tokenizer::Special::add) == Ids{0, 2});
}

TEST_CASE("GPT-2's files: other tokenizers with such files are refused by the name of their class") {
  const TemporaryFolder folder;
  folder.write("vocab.json", R"({"a": 0})");
  folder.write("merges.txt", "");
  for (const char* name : {"GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "CodeGenTokenizerFast"}) {
    folder.write("tokenizer_config.json", concat(R"({"tokenizer_class": ")", name, "\"}"));
    CHECK(Tokenizer::load(folder.path())->encode("a") == Ids{0});
  }
  for (const char* name : {"Qwen2Tokenizer", "RobertaTokenizerFast", "PreTrainedTokenizerFast", "Fast", ""}) {
    folder.write("tokenizer_config.json", concat(R"({"tokenizer_class": ")", name, "\"}"));
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CHECK(error.code() == ErrorCode::tokenizer_unsupported);
    CHECK(contains(error.what(), "tokenizer_config.json: tokenizer_class: expected GPT2Tokenizer or CodeGenTokenizer"));
    CHECK(contains(error.what(), concat("found '", name, "'; a tokenizer.json")));
  }
  folder.write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 7}, "merges": []}})");
  CHECK(Tokenizer::load(folder.path())->encode("a") == Ids{7});
}

TEST_CASE("GPT-2's files: added tokens that have no id, another one than the vocabulary's, or no such id are refused") {
  const auto check = [](const char* file, const char* content, const char* message) {
    const TemporaryFolder folder;
    folder.write("vocab.json", R"({"a": 0, "b": 1})");
    folder.write("merges.txt", "");
    folder.write(file, content);
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CAPTURE(error.what());
    CHECK(error.code() == ErrorCode::tokenizer_invalid);
    CHECK(contains(error.what(), message));
  };
  check("special_tokens_map.json", R"({"pad_token": "<pad>"})", "special token '<pad>': expected an id in vocab.json, added_");
  check("tokenizer_config.json", R"({"extra_special_tokens": ["<x>"]})", "special token '<x>': expected an id");
  check("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true})", "special token '<s>': expected an id");
  check("added_tokens.json", R"({"b": 2})", "token 'b': expected one id, found 1 and 2");
  check("added_tokens.json", R"({"c": "2"})", "added_tokens.json: c: expected a whole number");
  check("added_tokens.json", R"({"c": 16777216})", "added_tokens.json: c: expected the id of a token");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"two": {"content": "c"}}})",
        "tokenizer_config.json: added_tokens_decoder.two: expected the id of a token for a key");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"-2": {"content": "c"}}})", "added_tokens_decoder.-2: expected");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"2": "c"}})", "added_tokens_decoder.2: expected an object");
  check("tokenizer_config.json", R"({"added_tokens_decoder": {"16777216": {"content": "c"}}})",
        "expected an id below 16777216");
}

TEST_CASE("GPT-2's files: malformed ones are refused with the line") {
  const auto check = [](const char* merges, const char* message) {
    const TemporaryFolder folder;
    folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
    folder.write("merges.txt", merges);
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CHECK(error.code() == ErrorCode::tokenizer_invalid);
    CHECK(contains(error.what(), message));
  };
  check("#version: 0.2\na b\nab", "merges.txt: line 3: expected two tokens and one space, found 'ab'");
  check("a b c", "merges.txt: line 1: expected two tokens");
  check("a  b", "merges.txt: line 1: expected two tokens");
  check("a c", "merges.txt: line 1: expected tokens of vocab.json, which lacks 'c'");
  check("\n\nb a", "merges.txt: line 3: expected tokens of vocab.json, which lacks 'ba'");
  check("a b\n\xFF", "merges.txt: expected UTF-8, found other bytes at 4");
}

}  // namespace
}  // namespace ffmem
