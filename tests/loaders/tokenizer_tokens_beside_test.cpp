// What tokenizer_config.json, special_tokens_map.json and added_tokens.json do to the tokens of a tokenizer.json beside them.
// Expected ids and texts are those of PreTrainedTokenizerFast.from_pretrained of Transformers 5.5.
#include <doctest/doctest.h>

#include <string>

#include "loaders/tokenizer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using Ids = std::vector<TokenId>;

/// A tokenizer.json of single characters, with two added tokens, and the files that the test writes beside it.
class Folder {
 public:
  Folder() {
    folder_.write("tokenizer.json", R"({"added_tokens": [{"id": 5, "content": "<s>", "normalized": false, "special": true},
      {"id": 6, "content": "<X>", "normalized": true, "special": false}],
      "normalizer": {"type": "Lowercase"}, "decoder": {"type": "Fuse"}, "model": {"type": "BPE", "unk_token": "?",
      "vocab": {"?": 0, "a": 1, " ": 2, "x": 3, "e": 4, "<s>": 5, "<X>": 6, "<e>": 7, "<x>": 8}, "merges": []}})");
  }
  void config(const std::string& json) const { folder_.write("tokenizer_config.json", json); }
  void write(const std::string& name, const std::string& json) const { folder_.write(name, json); }
  std::shared_ptr<const Tokenizer> load() const { return Tokenizer::load(folder_.path()); }

  struct Result {
    Ids first, second;
    std::string text;
    bool operator==(const Result&) const = default;
  };
  Result result() const {
    const auto tokenizer = load();
    return {tokenizer->encode("a<e> a<E>"), tokenizer->encode("<s>a<X> <x> a<p> "),
            tokenizer->decode(Ids{5, 1, 7, 1}, Tokenizer::SpecialText::skip)};
  }

 private:
  TemporaryFolder folder_;
};

const Ids kPlainFirst{1, 0, 4, 0, 2, 1, 0, 4, 0}, kPlainSecond{5, 1, 6, 2, 6, 2, 1, 0, 0, 0, 2};
const Ids kPadFound{5, 1, 6, 2, 6, 2, 1, 9, 2};

}  // namespace

TEST_CASE("tokens beside tokenizer.json: one that a name makes special is found in texts and left out of them") {
  const Folder folder;
  CHECK(folder.result() == Folder::Result{kPlainFirst, kPlainSecond, "a<e>a"});
  const Folder::Result raw{{1, 7, 2, 1, 0, 4, 0}, kPlainSecond, "aa"};
  for (const char* json : {R"({"eos_token": "<e>"})", R"({"image_token": "<e>"})", R"({"extra_special_tokens": ["<e>"]})",
                           R"({"extra_special_tokens": {"image": "<e>"}})", R"({"additional_special_tokens": ["<e>"]})"}) {
    CAPTURE(json);
    folder.config(json);
    CHECK(folder.result() == raw);
  }
  for (const char* json : {R"({"image_token": {"__type": "AddedToken", "content": "<e>"}})",
                           R"({"model_specific_special_tokens": {"image_token": "<e>"}})"}) {
    CAPTURE(json);
    folder.config(json);
    CHECK(folder.result() == raw);
  }
  folder.config(R"({"image_token": {"content": "<e>"}})");  // of no declared type
  CHECK(folder.result() == Folder::Result{kPlainFirst, kPlainSecond, "a<e>a"});
  folder.write("special_tokens_map.json", R"({"image_token": {"content": "<e>"}})");
  CHECK(folder.result() == raw);
  folder.write("special_tokens_map.json", "{}");
  folder.config(R"({"eos_token": {"__type": "AddedToken", "content": "<e>", "lstrip": false, "rstrip": true,
                    "normalized": true, "single_word": false}})");
  CHECK(folder.result() == Folder::Result{{1, 7, 1, 7}, kPlainSecond, "aa"});
}

TEST_CASE("tokens beside tokenizer.json: its own added token becomes special by a name, not by a list, and keeps its flags") {
  const Folder folder;
  folder.config(R"({"eos_token": "<X>"})");
  const auto named = folder.load();
  CHECK(named->encode("<s>a<X> <x> a<p> ") == kPlainSecond);
  CHECK(named->eos() == 6);
  folder.config(R"({"extra_special_tokens": ["<X>"]})");
  CHECK(!folder.load()->is_special(6));
}

TEST_CASE("tokens beside tokenizer.json: one that has an id there is added, one that is only named is not") {
  const Folder folder;
  for (const char* json : {R"({"pad_token": "<p>"})", R"({"extra_special_tokens": ["<p>"]})"}) {
    CAPTURE(json);
    folder.config(json);
    CHECK(folder.result() == Folder::Result{kPlainFirst, kPlainSecond, "a<e>a"});
    CHECK(folder.load()->vocab_size() == 9);  // Transformers: <p> is 9, for which a model of 9 has no embedding
  }
  folder.config("{}");
  folder.write("added_tokens.json", R"({"<p>": 9, "<e>": 7, "<q>": 6})");
  CHECK(folder.result() == Folder::Result{{1, 7, 2, 1, 7}, kPadFound, "a<e>a"});
  CHECK(!folder.load()->find("<q>"));  // its id is taken
  folder.config(R"({"pad_token": "<p>"})");
  CHECK(folder.load()->is_special(9));
}

TEST_CASE("tokens beside tokenizer.json: added_tokens_decoder changes flags, and a changed token is found in both forms") {
  const Folder folder;
  folder.config(R"({"pad_token": "<p>", "added_tokens_decoder": {
    "6": {"content": "<X>", "lstrip": true, "rstrip": false, "normalized": false, "single_word": false, "special": true},
    "9": {"content": "<p>", "lstrip": false, "rstrip": true, "normalized": false, "single_word": false, "special": false}}})");
  folder.write("special_tokens_map.json", R"({"bos_token": "<s>"})");  // not looked at
  const auto tokenizer = folder.load();
  CHECK(tokenizer->encode("<s>a<X> <x> a<p> ") == Ids{5, 1, 6, 6, 2, 1, 9});
  CHECK(tokenizer->decode(Ids{5, 1, 6, 1, 7, 1, 9, 1}, Tokenizer::SpecialText::skip) == "aa<e>aa");
  CHECK(!tokenizer->bos());

  // What is special stays so, and keeps its form; an id in the list that is not the next one is not the token's.
  folder.config(R"({"added_tokens_decoder": {
    "5": {"content": "<s>", "lstrip": false, "rstrip": false, "normalized": true, "single_word": false, "special": false},
    "12": {"content": "<p>", "lstrip": false, "rstrip": false, "normalized": false, "single_word": false,
           "special": false}}})");
  CHECK(folder.result() == Folder::Result{kPlainFirst, kPadFound, "a<e>a"});
}

TEST_CASE("tokens beside tokenizer.json: special_tokens_map.json wins over tokenizer_config.json") {
  const Folder folder;
  folder.config(R"({"bos_token": "<s>", "eos_token": "<s>"})");
  folder.write("special_tokens_map.json", R"({"bos_token": "<e>", "eos_token": null})");
  CHECK(folder.load()->bos() == 7);
  CHECK(folder.load()->eos() == 5);
}

TEST_CASE("tokens beside tokenizer.json: one whose next id the vocabulary has, behind a hole, is refused") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 2}, "merges": []}})");
  folder.write("added_tokens.json", R"({"<p>": 1})");
  const Error error = thrown([&] { Tokenizer::load(folder.path()); });
  CHECK(error.code() == ErrorCode::tokenizer_invalid);
  CHECK(contains(error.what(), "id 2: expected one token, found 'b' and '<p>'"));
}

}  // namespace ffmem
