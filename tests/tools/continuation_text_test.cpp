// Text behind a prompt, with decoders of Llama's kind. Expected texts are what `tokenizers` gives for all ids without what it
// gives for the prompt's.
#include "tools/continuation_text.hpp"

#include <doctest/doctest.h>

#include "tests/loaders/temporary_folder.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

using Ids = std::vector<TokenId>;
using Texts = std::vector<std::string>;

const std::string kStrip = R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})";
const std::string kPattern = R"({"type": "Replace", "pattern": {"Regex": "^ "}, "content": ""})";

/// 0 is special, 1 a line end, 2 to 4 the bytes of U+FF61, the first two of which begin U+FFFD, too; 7 is no token.
std::shared_ptr<const Tokenizer> tokenizer(const std::string& last_step) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", R"({"added_tokens": [{"id": 0, "content": "</s>", "special": true}],
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "_"}, "content": " "},
                                                 {"type": "ByteFallback"}, {"type": "Fuse"}, )" +
                                     last_step + R"(]},
    "model": {"type": "BPE", "merges": [], "vocab": {"</s>": 0, "<0x0A>": 1, "<0xEF>": 2, "<0xBD>": 3, "<0xA1>": 4, "_a": 5,
                                                     "b": 6, "c": 8}}})");
  return Tokenizer::load(folder.path());
}

/// What each token gives, and last the end.
Texts pieces(const std::string& last_step, const Ids& prompt, const Ids& ids) {
  const auto words = tokenizer(last_step);
  ContinuationText continuation(*words, prompt);
  Texts texts;
  for (const TokenId id : ids) texts.push_back(continuation.push(id));
  const std::string rest = continuation.rest();
  texts.push_back(continuation.finish());
  CHECK(rest == texts.back());
  return texts;
}

}  // namespace

TEST_CASE("ContinuationText: what the decoder held back of the prompt is not new text") {
  CHECK(pieces(kStrip, {5, 1}, {6, 8}) == Texts{"b", "c", ""});
  CHECK(pieces(kStrip, {5, 1}, {1, 6}) == Texts{"", "\nb", ""});
  CHECK(pieces(kStrip, {5, 1}, {1}) == Texts{"", "\n"});
  CHECK(pieces(kStrip, {5, 1}, {}) == Texts{""});
  CHECK(pieces(kPattern, {5, 6}, {8, 5}) == Texts{"", "", "c a"});  // all comes at the end
  CHECK(pieces(kStrip, {}, {5, 5}) == Texts{"a", " a", ""});
}

TEST_CASE("ContinuationText: a character that the prompt began comes out whole") {
  CHECK(pieces(kStrip, {5, 2, 3}, {4, 6}) == Texts{"", "\uFF61b", ""});
  CHECK(pieces(kStrip, {5, 2}, {6}) == Texts{"b", ""});  // it stayed unfinished: U+FFFD is the prompt's
  CHECK(pieces(kStrip, {5, 2}, {3, 6}) == Texts{"", "\uFFFDb", ""});
}

TEST_CASE("ContinuationText: special tokens and ids without a token add no text") {
  CHECK(pieces(kStrip, {5, 7}, {7, 6, 0, 99, -1, 8}) == Texts{"", "b", "", "", "", "c", ""});
}

TEST_CASE("ContinuationText: rest() is the text held back so far") {
  const auto words = tokenizer(kStrip);
  ContinuationText continuation(*words, Ids{5, 1});
  CHECK(continuation.rest() == "");
  CHECK(continuation.push(1) == "");
  CHECK(continuation.rest() == "\n");
  CHECK(continuation.push(2) == "");
  CHECK(continuation.rest() == "\uFFFD\uFFFD\uFFFD");  // the run is no longer UTF-8
  CHECK(continuation.push(6) == "\uFFFD\uFFFD\uFFFDb");
  CHECK(continuation.rest() == "");
}
