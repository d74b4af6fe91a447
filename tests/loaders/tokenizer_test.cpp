// Whole tokenizers against the reference library's results (make_tokenizer_cases.py), and properties of all of them.
#include "loaders/tokenizer.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "loaders/utf8.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using nlohmann::json;
using SpecialText = Tokenizer::SpecialText;

const std::filesystem::path kFolder = std::filesystem::path(FFMEM_TEST_DATA) / "tokenizers";

constexpr std::array kNames = {"bloom",          "falcon",           "gemma",          "gpt2",   "gpt2-prefixspace",
                               "gpt_neox",       "llama2-metaspace", "llama2-prepend", "llama3", "qwen2",
                               "smollm2-digits", "wordlevel"};

json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return json::parse(in);
}

std::string from_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<std::uint32_t>(digits.find(c));
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes += static_cast<char>(static_cast<unsigned char>(bits >> n_bits & 0xFF));
  }
  return bytes;
}

/// The ids of the vocabulary: all but the holes.
std::vector<TokenId> all_ids(const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    try {
      tokenizer.token(static_cast<TokenId>(i));
      ids.push_back(static_cast<TokenId>(i));
    } catch (const Error&) {
      continue;
    }
  }
  return ids;
}

/// Whatever bytes come: letters, spaces, marks, halves of characters.
std::string random_bytes(std::mt19937& random) {
  static const std::vector<std::string> parts = {"a",
                                                 "the",
                                                 " ",
                                                 "  ",
                                                 "\n",
                                                 "\t",
                                                 "'s",
                                                 "1",
                                                 "23",
                                                 "é",
                                                 "e\xCC\x81",
                                                 "中",
                                                 "😀",
                                                 "\xE2\x80\x8D",
                                                 "\xC2\xA0",
                                                 "\xE2\x80\xA8",
                                                 "\xE2\x96\x81",
                                                 "\xFF",
                                                 "\xE4\xB8",
                                                 "\xF0\x9F",
                                                 "<s>",
                                                 "<0x41>",
                                                 std::string(1, '\0'),
                                                 ".",
                                                 ",",
                                                 "\r\n"};
  std::string text;
  const std::size_t n = random() % 30;
  for (std::size_t i = 0; i < n; ++i) text += parts[random() % parts.size()];
  return text;
}

TEST_CASE("tokenizer: ids and texts are those of the reference library") {
  for (const char* name : kNames) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    const json file = read_json(kFolder / name / "cases.json");
    CHECK(all_ids(*tokenizer).size() == file["vocab_size"].get<std::size_t>());
    CHECK(all_ids(*tokenizer).back() == static_cast<TokenId>(tokenizer->vocab_size()) - 1);
    for (const json& c : file["cases"]) {
      const auto text = c["text"].get<std::string>();
      const auto ids = c["ids"].get<std::vector<TokenId>>();
      const auto decoded = c["decoded"].get<std::string>();
      CAPTURE(text);
      CHECK(tokenizer->encode(text) == ids);
      CHECK(tokenizer->encode(text, Tokenizer::Special::add) == c.value("ids_with_special", ids));
      CHECK(tokenizer->decode(ids) == decoded);
      CHECK(tokenizer->decode(ids, SpecialText::skip) == c.value("decoded_skip_special", decoded));
    }
  }
}

TEST_CASE("tokenizer: any ids are decoded as by the reference library") {
  for (const char* name : kNames) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    const json file = read_json(kFolder / name / "cases.json");
    for (const json& c : file["decode_cases"]) {
      const auto ids = c["ids"].get<std::vector<TokenId>>();
      const auto decoded = c["decoded"].get<std::string>();
      CHECK(tokenizer->decode(ids) == decoded);
      CHECK(tokenizer->decode(ids, SpecialText::skip) == c.value("decoded_skip_special", decoded));
    }
  }
}

TEST_CASE("tokenizer: every maximal invalid part of the bytes counts as one replacement character") {
  for (const char* name : kNames) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    const json file = read_json(kFolder / name / "cases.json");
    for (const json& c : file["invalid_utf8"]) {
      const std::string bytes = from_base64(c["bytes_base64"].get<std::string>());
      CHECK(tokenizer->encode(bytes) == c["ids"].get<std::vector<TokenId>>());
    }
  }
}

TEST_CASE("tokenizer: small tokenizers with rare options agree with the reference library") {
  const json file = read_json(kFolder / "components.json");
  const auto texts = file["texts"].get<std::vector<std::string>>();
  for (const json& c : file["tokenizers"]) {
    const TemporaryFolder folder;
    folder.write("tokenizer.json", c["spec"].dump());
    CAPTURE(c["spec"].dump());
    const auto tokenizer = Tokenizer::load(folder.path());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(texts[i]);
      CHECK(tokenizer->encode(texts[i]) == c["ids"][i].get<std::vector<TokenId>>());
    }
    const auto ids = all_ids(*tokenizer);
    for (std::size_t first = 0; first < c["decoded_from"].size(); ++first) {
      const std::vector<TokenId> tail(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
      CHECK(tokenizer->decode(tail) == c["decoded_from"][first].get<std::string>());
    }
  }
}

TEST_CASE("tokenizer: a stream's pieces are valid UTF-8 and join to the text decoded at once") {
  std::mt19937 random(1);
  for (const char* name : kNames) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    const auto known = all_ids(*tokenizer);
    for (int repeat = 0; repeat < 100; ++repeat) {
      std::vector<TokenId> ids(random() % 20);
      for (TokenId& id : ids) id = known[random() % known.size()];
      const auto skip = repeat % 2 == 0 ? SpecialText::keep : SpecialText::skip;
      const auto stream = tokenizer->stream(skip);
      std::string joined;
      for (std::size_t i = 0; i <= ids.size(); ++i) {
        const std::string piece = i < ids.size() ? stream->push(ids[i]) : stream->finish();
        CHECK(valid_utf8_prefix(piece) == piece.size());
        joined += piece;
      }
      CHECK(joined == tokenizer->decode(ids, skip));
    }
  }
}

TEST_CASE("tokenizer: a stream lets text go as soon as it is whole") {
  const auto tokenizer = Tokenizer::load(kFolder / "gpt2");
  const auto ids = tokenizer->encode("中a");
  REQUIRE(ids.size() == 4);  // three bytes, one letter
  const auto stream = tokenizer->stream();
  CHECK(stream->push(ids[0]) == "");
  CHECK(stream->push(ids[1]) == "");
  CHECK(stream->push(ids[2]) == "中");
  CHECK(stream->push(ids[3]) == "a");
  CHECK(stream->push(ids[0]) == "");
  CHECK(stream->finish() == "\xEF\xBF\xBD");
}

TEST_CASE("tokenizer: byte-level tokenizers give any valid text back") {
  std::mt19937 random(2);
  for (const char* name : {"gpt2", "llama3", "smollm2-digits", "bloom", "falcon"}) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    for (int repeat = 0; repeat < 200; ++repeat) {
      const std::string text = repair_utf8(random_bytes(random));
      CAPTURE(text);
      CHECK(tokenizer->decode(tokenizer->encode(text)) == text);
    }
  }
}

TEST_CASE("tokenizer: the bytes of single tokens join to the text") {
  for (const char* name : {"gpt2", "llama3", "gemma"}) {
    CAPTURE(name);
    const auto tokenizer = Tokenizer::load(kFolder / name);
    const std::string text = "Hello, 中文 world!\n 😀";
    std::string joined;
    for (const TokenId id : tokenizer->encode(text)) joined += tokenizer->token_bytes(id);
    CHECK(joined == text);
  }
  const auto llama = Tokenizer::load(kFolder / "llama2-prepend");
  CHECK(llama->token_bytes(*llama->find("<0x0A>")) == "\n");
  CHECK(llama->token_bytes(*llama->find("▁the")) == " the");
  const auto words = Tokenizer::load(kFolder / "wordlevel");
  CHECK(words->token_bytes(*words->find("the")) == " the");
}

TEST_CASE("tokenizer: tokens and ids belong together, special ones are known") {
  const auto tokenizer = Tokenizer::load(kFolder / "gpt2");
  for (const TokenId id : all_ids(*tokenizer)) CHECK(tokenizer->find(tokenizer->token(id)) == id);
  CHECK(tokenizer->find("no such token") == std::nullopt);
  CHECK(tokenizer->is_special(*tokenizer->find("<|endoftext|>")));
  CHECK(!tokenizer->is_special(*tokenizer->find("Ġthe")));
  CHECK(!tokenizer->is_special(-1));
  CHECK(!tokenizer->is_special(1 << 20));
}

TEST_CASE("tokenizer: an id without a token is an error wherever it is given") {
  for (const char* name : {"gpt2", "wordlevel", "llama2-prepend"}) {
    const auto tokenizer = Tokenizer::load(kFolder / name);
    for (const TokenId id : {-1, static_cast<TokenId>(tokenizer->vocab_size()), 1 << 30}) {
      CHECK(thrown([&] { tokenizer->token(id); }).code() == ErrorCode::token_out_of_range);
      CHECK(thrown([&] { tokenizer->token_bytes(id); }).code() == ErrorCode::token_out_of_range);
      CHECK(thrown([&] { tokenizer->stream()->push(id); }).code() == ErrorCode::token_out_of_range);
      const std::array ids = {id};
      const Error error = thrown([&] { tokenizer->decode(ids); });
      CHECK(error.code() == ErrorCode::token_out_of_range);
      CHECK(contains(error.what(), std::to_string(id)));
    }
  }
}

TEST_CASE("tokenizer: many threads share one tokenizer and get the ids of one") {
  for (const char* name : {"gpt2", "llama2-prepend", "qwen2"}) {
    const auto tokenizer = Tokenizer::load(kFolder / name);
    std::mt19937 random(3);
    std::vector<std::string> texts(200);
    for (std::string& text : texts) text = random_bytes(random) + random_bytes(random);
    std::vector<std::vector<TokenId>> expected;
    expected.reserve(texts.size());
    for (const std::string& text : texts) expected.push_back(tokenizer->encode(text));
    std::array<std::size_t, 4> n_equal{};
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < n_equal.size(); ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < texts.size(); ++i) n_equal[t] += tokenizer->encode(texts[i]) == expected[i] ? 1 : 0;
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::size_t n : n_equal) CHECK(n == texts.size());
  }
}

TEST_CASE("tokenizer: a text without any place to cut takes n log n steps") {
  std::string text;
  for (int i = 0; i < 250'000; ++i) text += "abca";
  for (const char* name : {"gpt2", "llama2-prepend", "llama3", "gpt_neox"}) {
    const auto tokenizer = Tokenizer::load(kFolder / name);
    for (const std::string& long_text : {text, std::string(1'000'000, ' '), std::string(1'000'000, '\n') + "x"}) {
      const auto ids = tokenizer->encode(long_text);  // quadratic code would take minutes
      CHECK(ids.size() > 1000);
      CHECK(ids.size() <= long_text.size() + 1);
    }
  }
}

}  // namespace
}  // namespace ffmem
