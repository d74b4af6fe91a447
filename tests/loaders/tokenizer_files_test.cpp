// The layouts of a tokenizer's folder, and what is wrong with them; GPT-2's is in tokenizer_gpt2_files_test.cpp.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "loaders/tokenizer.hpp"
#include "tests/loaders/ordinary_rights.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using Ids = std::vector<TokenId>;

/// A tokenizer.json with this model, and other fields in front of it.
std::string tokenizer_json(const std::string& model, const std::string& fields = "") {
  return "{\"version\": \"1.0\", " + fields + (fields.empty() ? "" : ", ") + "\"model\": " + model + "}";
}

std::string bpe(const std::string& vocab, const std::string& merges = "[]", const std::string& options = "") {
  return R"({"type": "BPE", )" + options + R"("vocab": )" + vocab + R"(, "merges": )" + merges + "}";
}

Error load_error(const std::string& name, const std::string& content) {
  const TemporaryFolder folder;
  folder.write(name, content);
  return thrown([&] { Tokenizer::load(folder.path()); });
}

void check_invalid(const std::string& json, const std::string& message, ErrorCode code = ErrorCode::tokenizer_invalid) {
  CAPTURE(json);
  const Error error = load_error("tokenizer.json", json);
  CAPTURE(error.what());
  CHECK(error.code() == code);
  CHECK(contains(error.what(), "tokenizer.json: "));
  CHECK(contains(error.what(), message));
}

TEST_CASE("tokenizer files: a folder without a tokenizer names the three layouts") {
  const TemporaryFolder folder;
  folder.write("vocab.json", "{}");  // merges.txt is missing
  const Error error = thrown([&] { Tokenizer::load(folder.path()); });
  CHECK(error.code() == ErrorCode::file_not_found);
  for (const char* part : {folder.path().c_str(), "tokenizer.json", "vocab.json and merges.txt", "dict.txt"}) {
    CHECK(contains(error.what(), part));
  }
}

TEST_CASE("tokenizer files: links to nothing are not taken for absent files") {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}) {
    const TemporaryFolder folder;
    folder.write("dict.txt", "a 1\n");
    if (name != std::string("tokenizer.json")) folder.write("tokenizer.json", tokenizer_json(bpe(R"({"a": 0})")));
    std::filesystem::create_symlink("nowhere", folder.path() / name);
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CHECK(error.code() == ErrorCode::file_unreadable);
    CHECK(contains(error.what(), concat(name, ": cannot read: it is a link to nothing")));
  }
}

TEST_CASE("tokenizer files: a folder that may not be searched is file_unreadable") {
  const TemporaryFolder folder;
  folder.write("dict.txt", "a 1\n");
  REQUIRE(::chmod(folder.path().c_str(), 0600) == 0);
  {
    const OrdinaryRights rights;
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CHECK(error.code() == ErrorCode::file_unreadable);
    CHECK(contains(error.what(), "Permission denied"));
  }
  REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
}

TEST_CASE("tokenizer files: what messages quote of them is cut") {
  const std::string name(10'000, 'n');
  const auto check = [](const Error& error) {
    const std::string message = error.what();
    CAPTURE(message);
    CHECK(contains(message, "nnn..."));
    CHECK(message.size() < 1000);
  };
  const std::string vocab = bpe(R"({"a": 0})");
  const auto split = [&](const std::string& regex) {
    return tokenizer_json(vocab, R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": ")" + regex + R"("}})");
  };
  check(load_error("tokenizer.json", split(name + "(")));
  check(load_error("tokenizer.json", split(name + R"(\\X)")));
  check(load_error("tokenizer.json", split(name + "(?<=a+)b")));
  check(load_error("tokenizer.json", tokenizer_json(vocab, R"("decoder": {"type": ")" + name + R"("})")));
  check(load_error("tokenizer.json", tokenizer_json(bpe(R"({"a": 0})", R"([["a", ")" + name + R"("]])"))));
  check(load_error("tokenizer.json", tokenizer_json(bpe(R"({")" + name + R"(": -1})"))));
  check(load_error("tokenizer.json", tokenizer_json(bpe(R"({")" + name + R"(": 0, "a": 0})"))));
  check(load_error("dict.txt", name));
}

TEST_CASE("tokenizer.json: malformed files are refused with the place") {
  check_invalid("{", "line 1");
  check_invalid("[]", "expected an object, found []");
  check_invalid("{}", "expected a field 'model'");
  check_invalid(tokenizer_json(R"({"type": "BPE", "merges": []})"), "model: expected a field 'vocab'");
  check_invalid(tokenizer_json(bpe("[]")), "model.vocab: expected an object, found []");
  check_invalid(tokenizer_json(bpe(R"({"a": "0"})")), "model.vocab.a: expected an id, found \"0\"");
  check_invalid(tokenizer_json(bpe(R"({"a": -1})")), "model.vocab.a: expected an id, found -1");
  check_invalid(tokenizer_json(bpe(R"({"a": 0, "b": 0})")), "model.vocab: id 0: expected one token, found 'a' and 'b'");
  check_invalid(tokenizer_json(bpe(R"({"a": 16777216})")), "'a': expected an id below 16777216, found 16777216");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})", R"(["a"])")), "model.merges[0]: expected two tokens");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})", R"([["a", ""]])")), "model.merges[0]: expected two tokens");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})", R"(["#version: 0.2", "a b"])")),
                "model.merges[1]: expected a merge of tokens of the vocabulary, which lacks 'b'");
  check_invalid(tokenizer_json(bpe(R"({"a": 0, "b": 1})", R"([["a", "b"]])")), "which lacks 'ab'");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})"), R"("added_tokens": [{"id": 0, "content": "b"}])"),
                "added_tokens: id 0: expected one token");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})"), R"("added_tokens": [{"id": 1, "content": "a"}])"),
                "added_tokens: token 'a': expected one id, found 0 and 1");
  check_invalid(tokenizer_json(bpe(R"({"a": 0})"), R"("added_tokens": [{"id": 4000000000, "content": "b"}])"),
                "added_tokens[0].id: expected the id of a token");
}

TEST_CASE("tokenizer.json: what this program does not implement is refused by name") {
  const auto check_unsupported = [](const std::string& json, const std::string& what) {
    check_invalid(json, what, ErrorCode::tokenizer_unsupported);
  };
  const std::string vocab = R"({"a": 0})";
  check_unsupported(tokenizer_json(R"({"type": "Unigram", "vocab": []})"),
                    "model: this program does not implement the model Unigram");
  check_unsupported(tokenizer_json(bpe(vocab, "[]", R"("dropout": 0.1, )")), "model.dropout");
  check_unsupported(tokenizer_json(bpe(vocab, "[]", R"("end_of_word_suffix": "</w>", )")), "model.end_of_word_suffix");
  check_unsupported(tokenizer_json(bpe(vocab), R"("normalizer": {"type": "BertNormalizer"})"),
                    "normalizer: this program does not implement the normalizer BertNormalizer");
  check_unsupported(
      tokenizer_json(bpe(vocab), R"("normalizer": {"type": "Strip"}, "added_tokens": [{"id": 1, "content": " "}])"),
      "added_tokens: ' '");
}

std::string repeated(const std::string& element, std::size_t n) {
  std::string list = element;
  for (std::size_t i = 1; i < n; ++i) list += ", " + element;
  return "[" + list + "]";
}

TEST_CASE("tokenizer.json: steps that make too much of a text are refused by name") {
  const std::string vocab = bpe(R"({"a": 0})");
  const auto check = [&](const std::string& fields, auto&& call, const std::string& place) {
    const TemporaryFolder folder;
    folder.write("tokenizer.json", tokenizer_json(vocab, fields));
    const auto tokenizer = Tokenizer::load(folder.path());
    const Error error = thrown([&] { call(*tokenizer); });
    CAPTURE(error.what());
    CHECK(error.code() == ErrorCode::tokenizer_unsupported);
    CHECK(contains(error.what(), "tokenizer.json: " + place + ": expected to make at most "));
  };
  const auto encode = [](const std::string& text) { return [text](const Tokenizer& t) { t.encode(text); }; };
  const auto decode = [](const Tokenizer& t) { t.decode(Ids{0, 0}); };
  const auto show = [](const Tokenizer& t) { t.token_bytes(0); };

  const std::string twice = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  const std::string normalizers = R"("normalizer": {"type": "Sequence", "normalizers": )" + repeated(twice, 64) + "}";
  check(normalizers, encode("banana"), "normalizer.normalizers[9]");
  check_invalid(tokenizer_json(vocab, normalizers + R"(, "added_tokens": [{"id": 1, "content": "aaa", "normalized": true}])"),
                "normalizer.normalizers[9]: expected to make at most ", ErrorCode::tokenizer_unsupported);

  // Each of many stretches of a text gets little, all of them together much.
  const std::string prefix = R"("normalizer": {"type": "Prepend", "prepend": ")" + std::string(4000, 'a') + R"("})";
  std::string stretches;
  for (int i = 0; i < 100; ++i) stretches += "b<s>";
  check(prefix + R"(, "added_tokens": [{"id": 1, "content": "<s>", "normalized": false}])", encode(stretches), "normalizer");

  const auto pre = [](const std::string& component, std::size_t n) {
    return R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": )" + repeated(component, n) + "}";
  };
  check(pre(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", 32), encode("é"), "pre_tokenizer");
  const auto metaspace = [](const std::string& replacement) {
    return R"({"type": "Metaspace", "replacement": ")" + replacement + R"(", "prepend_scheme": "always", "split": true})";
  };
  check(pre(metaspace("A") + ", " + metaspace("B"), 20), encode("Hello"), "pre_tokenizer");

  const std::string decoders = R"("decoder": {"type": "Sequence", "decoders": )" + repeated(twice, 31) + "}";
  check(decoders, decode, "decoder.decoders[11]");
  check(decoders, show, "decoder.decoders[11]");
  const std::string everywhere =
      R"("decoder": {"type": "Replace", "pattern": {"Regex": "b?"}, "content": ")" + std::string(5000, 'a') + R"("})";
  check(everywhere, decode, "decoder");
  check(everywhere, show, "decoder");
}

TEST_CASE("tokenizer.json: small files that ask for endless work are refused") {
  const std::string vocab = bpe(R"({"a": 0})");
  const auto added = [&](std::size_t n_bytes) {
    return tokenizer_json(vocab, R"("added_tokens": [{"id": 1, "content": ")" + std::string(n_bytes, 'a') + R"("}])");
  };
  check_invalid(added(1025), "added_tokens: id 1: expected a token of at most 1024 bytes, found 1025",
                ErrorCode::tokenizer_unsupported);
  const TemporaryFolder folder;
  folder.write("tokenizer.json", added(1024));
  CHECK(Tokenizer::load(folder.path())->encode(std::string(1024, 'a')) == Ids{1});

  std::string regex;
  for (int i = 0; i < 10'000; ++i) regex += R"(\\b)";
  check_invalid(tokenizer_json(vocab, R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": ")" + regex +
                                          R"("}, "behavior": "Isolated", "invert": false})"),
                "regular expression: expected at most 16384 bytes, found 20000", ErrorCode::tokenizer_unsupported);

  const std::string many = repeated(R"({"SpecialToken": {"id": "s", "type_id": 0}})", 1000);
  check_invalid(tokenizer_json(vocab, R"("post_processor": {"type": "TemplateProcessing", "single": )" + many +
                                          R"(, "special_tokens": {"s": {"id": "s", "ids": )" + repeated("0", 1000) + "}}}"),
                "more than 1024 tokens around a text", ErrorCode::tokenizer_unsupported);
}

TEST_CASE("tokenizer.json: options that change nothing are accepted, and holes between ids") {
  const TemporaryFolder folder;
  folder.write(
      "tokenizer.json",
      tokenizer_json(bpe(R"({"a": 2, "b": 7, "ab": 9})", R"(["a b"])",
                         R"("dropout": 0.0, "continuing_subword_prefix": "", "unk_token": null, )"),
                     R"("truncation": {"max_length": 1}, "padding": {"strategy": "BatchLongest"}, "post_processor": null)"));
  const auto tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer->encode("abba?") == Ids{9, 7, 2});
  CHECK(tokenizer->vocab_size() == 10);
  CHECK(thrown([&] { tokenizer->token(3); }).code() == ErrorCode::token_out_of_range);
  CHECK(tokenizer->bos() == std::nullopt);
  CHECK(tokenizer->eos() == std::nullopt);
}

TEST_CASE("tokenizer.json: a missing unknown token is an error of the text that needs it") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tokenizer_json(bpe(R"({"a": 0})", "[]", R"("unk_token": "<unk>", )")));
  const auto tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer->encode("aa") == Ids{0, 0});
  const Error error = thrown([&] { tokenizer->encode("ab"); });
  CHECK(error.code() == ErrorCode::tokenizer_invalid);
  CHECK(contains(error.what(), "unk_token '<unk>'"));

  folder.write("tokenizer.json", tokenizer_json(R"({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "<unk>"})"));
  CHECK(contains(thrown([&] { Tokenizer::load(folder.path())->encode("b"); }).what(), "the text has 'b'"));
}

TEST_CASE("tokenizer.json: names of the first and last token come from the files beside it") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tokenizer_json(bpe(R"({"a": 0, "<s>": 1, "</s>": 2})")));
  folder.write("special_tokens_map.json", R"({"bos_token": "a", "eos_token": {"content": "</s>", "lstrip": false}})");
  CHECK(Tokenizer::load(folder.path())->bos() == 0);
  CHECK(Tokenizer::load(folder.path())->eos() == 2);
  folder.write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": null})");
  folder.write("special_tokens_map.json", R"({"eos_token": {"content": "</s>", "lstrip": false}})");
  CHECK(Tokenizer::load(folder.path())->bos() == 1);
  CHECK(Tokenizer::load(folder.path())->eos() == 2);
  folder.write("tokenizer_config.json", R"({"bos_token": 5})");
  const Error error = thrown([&] { Tokenizer::load(folder.path()); });
  CHECK(error.code() == ErrorCode::tokenizer_invalid);
  CHECK(contains(error.what(), "tokenizer_config.json: bos_token: expected an object, found 5"));
}

TEST_CASE("tokenizer files: text files of a terabyte are refused before they are read") {
  const TemporaryFolder folder;
  for (const char* name : {"dict.txt", "merges.txt"}) {
    folder.write("vocab.json", "{}");
    std::filesystem::resize_file(folder.write(name, ""), std::uintmax_t{1} << 40);  // a hole, which takes no room
    const Error error = thrown([&] { Tokenizer::load(folder.path()); });
    CHECK(error.code() == ErrorCode::tokenizer_invalid);
    CHECK(contains(error.what(), concat(name, ": expected at most 268435456 bytes")));
  }
}

TEST_CASE("fairseq's dictionary: words at white space, unknown ones, special words, one space between words") {
  const TemporaryFolder folder;
  folder.write("dict.txt", "the 100\n, 90\r\n. 50\ncafé 3\nx y 2\n北京 1\n");
  const auto tokenizer = Tokenizer::load(folder.path());
  CHECK(tokenizer->vocab_size() == 10);
  CHECK(tokenizer->encode("the café of zzz .") == Ids{4, 7, 3, 3, 6});
  CHECK(tokenizer->encode("  the   ,\t the\xC2\xA0\xE3\x80\x80\x1C,\n") == Ids{4, 5, 4, 5});
  CHECK(tokenizer->encode("<unk> the <s> </s> <pad>") == Ids{3, 4, 0, 2, 1});
  CHECK(tokenizer->encode("") == Ids{});
  CHECK(tokenizer->encode("the \xFF 北京", Tokenizer::Special::add) == Ids{2, 4, 3, 9});
  CHECK(tokenizer->decode(Ids{2, 4, 8, 3}) == "</s> the x y <unk>");
  CHECK(tokenizer->decode(Ids{2, 4, 3, 1, 5}, Tokenizer::SpecialText::skip) == "the <unk> ,");
  CHECK(tokenizer->bos() == 2);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->token_bytes(4) == " the");
  CHECK(thrown([&] { tokenizer->token(10); }).code() == ErrorCode::token_out_of_range);
  const auto stream = tokenizer->stream();
  CHECK(stream->push(4) == "the");
  CHECK(stream->push(5) == " ,");
  CHECK(stream->finish() == "");
}

TEST_CASE("fairseq's dictionary: malformed ones are refused with the line") {
  const auto check = [](const char* dictionary, const char* message, ErrorCode code = ErrorCode::tokenizer_invalid) {
    const Error error = load_error("dict.txt", dictionary);
    CHECK(error.code() == code);
    CHECK(contains(error.what(), message));
  };
  check("the 1\nword\n", "dict.txt: line 2: expected a word, a space and a count, found 'word'");
  check("the one\n", "dict.txt: line 1: expected a word");
  check("the 1\n\nx 1\n", "dict.txt: line 2: expected a word");
  check(" 5\n", "dict.txt: line 1: expected a word");
  check("the 1\nthe 2\n", "dict.txt: line 2: token 'the': expected one id, found 4 and 5");
  check("<unk> 1\n", "dict.txt: line 1: token '<unk>': expected one id, found 3 and 4");
  check("the 1\n\xFF 2\n", "expected UTF-8, found other bytes at 6");
  check("the 1 #fairseq:overwrite\n", "#fairseq:overwrite", ErrorCode::tokenizer_unsupported);
}

}  // namespace
}  // namespace ffmem
