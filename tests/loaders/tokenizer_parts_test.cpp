// The tokenizers' inner parts against plain versions of themselves.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "loaders/tokenizer/added_tokens.hpp"
#include "loaders/tokenizer/byte_alphabet.hpp"
#include "loaders/tokenizer/characters.hpp"
#include "loaders/tokenizer/gpt2_scanner.hpp"
#include "loaders/tokenizer/merge.hpp"
#include "loaders/tokenizer/pattern.hpp"

namespace ffmem::tokenization {
namespace {

std::string random_text(std::mt19937& random, std::size_t length) {
  static const std::vector<std::string> parts = {"a",
                                                 "B",
                                                 "é",
                                                 "ſ",
                                                 "中",
                                                 "1",
                                                 "٣",
                                                 "½",
                                                 " ",
                                                 " ",
                                                 "  ",
                                                 "\n",
                                                 "\t",
                                                 "\r",
                                                 "'",
                                                 "'s",
                                                 "'ll",
                                                 "'r",
                                                 "'re",
                                                 ".",
                                                 "!",
                                                 "-",
                                                 "_",
                                                 "\xC2\xA0",
                                                 "\xE2\x80\xA8",
                                                 "\xE3\x80\x80",
                                                 "\xC2\x85",
                                                 "\xE1\xA0\x8E",
                                                 "\xCC\x81",
                                                 "😀"};
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += parts[random() % parts.size()];
  return text;
}

std::vector<std::string> matches(const Pattern& pattern, const std::string& text) {
  std::vector<std::string> found;
  pattern.for_each_part(text, [&](Pattern::Part part) { found.push_back(text.substr(part.begin, part.end - part.begin)); });
  return found;
}

/// The definition: of all pairs the one of lowest rank, leftmost first.
std::vector<TokenId> merge_plainly(const PairRanks& ranks, const std::vector<TokenId>& merged, std::vector<TokenId> symbols) {
  while (true) {
    std::uint32_t best = PairRanks::kNone;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto rank = ranks.find(static_cast<std::uint32_t>(symbols[i]), static_cast<std::uint32_t>(symbols[i + 1]));
      if (rank >= best) continue;
      best = rank;
      place = i;
    }
    if (best == PairRanks::kNone) return symbols;
    symbols[place] = merged[best];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST_CASE("gpt2_scanner: the hand-written pattern matches what the regular expression matches") {
  const std::string regex = "(?:" + std::string(kGpt2Regex) + ")";  // in brackets it is not recognised
  const auto by_regex = regex_pattern(regex, "test");
  const auto by_hand = regex_pattern(kGpt2Regex, "test");
  std::mt19937 random(1);
  for (std::size_t length = 0; length < 600; ++length) {
    const std::string text = random_text(random, length % 24);
    CAPTURE(text);
    CHECK(matches(*by_hand, text) == matches(*by_regex, text));
  }
}

TEST_CASE("gpt2_scanner: white space gives its last character to what follows") {
  const auto pieces = [](std::string_view text) {
    std::vector<std::string> found;
    for (Gpt2Scanner scanner(text); !scanner.done();) found.emplace_back(scanner.next());
    return found;
  };
  using Pieces = std::vector<std::string>;
  CHECK(pieces("a   b") == Pieces{"a", "  ", " b"});
  CHECK(pieces("a\n\nb") == Pieces{"a", "\n", "\n", "b"});
  CHECK(pieces("a  ") == Pieces{"a", "  "});
  CHECK(pieces(" ") == Pieces{" "});
  CHECK(pieces("it's 's'll'x'") == Pieces{"it", "'s", " '", "s", "'ll", "'", "x", "'"});
}

TEST_CASE("merge_symbols: scanning and the heap do what the definition says, on both sides of the border") {
  constexpr TokenId kLetters = 3;
  std::mt19937 random(2);
  Workspace workspace;
  for (int repeat = 0; repeat < 60; ++repeat) {
    PairRanks ranks(40);
    std::vector<TokenId> merged;
    std::set<std::pair<TokenId, TokenId>> pairs;
    for (TokenId next = kLetters; next < kLetters + 40; ++next) {  // later tokens are made of earlier ones
      const std::pair pair(static_cast<TokenId>(random()) % next, static_cast<TokenId>(random() % static_cast<unsigned>(next)));
      const std::pair positive(std::abs(pair.first), pair.second);
      pairs.insert(positive);
      ranks.set(static_cast<std::uint32_t>(positive.first), static_cast<std::uint32_t>(positive.second),
                static_cast<std::uint32_t>(merged.size()));
      merged.push_back(next);
    }
    for (const std::size_t length : {0, 1, 2, 3, 47, 48, 49, 50, 300}) {
      std::vector<TokenId> symbols(length);
      for (TokenId& symbol : symbols) symbol = static_cast<TokenId>(random() % kLetters);
      workspace.symbols = symbols;
      merge_symbols(ranks, merged, workspace);
      CHECK(workspace.symbols == merge_plainly(ranks, merged, symbols));
    }
  }
}

TEST_CASE("pair_ranks: finds what was set last and nothing else") {
  PairRanks ranks(1000);
  for (std::uint32_t i = 0; i < 1000; ++i) ranks.set(i, i * 7, i);
  ranks.set(5, 35, 99);
  CHECK(ranks.find(5, 35) == 99);
  for (std::uint32_t i = 6; i < 1000; ++i) {
    CHECK(ranks.find(i, i * 7) == i);
    CHECK(ranks.find(i, i * 7 + 1) == PairRanks::kNone);
  }
  CHECK(PairRanks().find(0, 0) == PairRanks::kNone);
}

TEST_CASE("piece_cache: a piece is found as it was stored, its prefix and its neighbours are not") {
  PieceCache cache;
  const std::vector<TokenId> ids = {1, 2, 3};
  for (std::size_t length = 1; length <= PieceCache::kMaxBytes; ++length) {
    const std::string piece(length, 'x');
    const auto place = PieceCache::place(piece);
    CHECK(cache.find(place, piece).empty());
    cache.store(place, piece, ids);
    const auto found = cache.find(place, piece);
    CHECK(std::vector<TokenId>(found.begin(), found.end()) == ids);
    CHECK(cache.find(place, piece + "x").empty());
  }
  const std::vector<TokenId> too_many(PieceCache::kMaxIds + 1);
  cache.store(PieceCache::place("y"), "y", too_many);
  CHECK(cache.find(PieceCache::place("y"), "y").empty());
}

TEST_CASE("byte_alphabet: each byte has a printable character of its own") {
  CHECK(byte_alphabet()[' '] == "Ġ");
  CHECK(byte_alphabet()['\n'] == "Ċ");
  CHECK(byte_alphabet()['!'] == "!");
  CHECK(byte_alphabet()[0xAD] == "Ń");
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(static_cast<unsigned char>(byte));
  std::string spelling;
  append_byte_alphabet(spelling, bytes);
  CHECK(bytes_of_spelling(spelling) == bytes);
  CHECK(bytes_of_spelling("a b") == std::nullopt);
  CHECK(bytes_of_spelling("中") == std::nullopt);
}

TEST_CASE("characters: kinds follow Unicode 16, also where ICU is older") {
  const CharTable& table = CharTable::get();
  CHECK(table.kinds('a') == (CharKind::letter | CharKind::word));
  CHECK(table.kinds('7') == (CharKind::number | CharKind::word));
  CHECK(table.kinds(' ') == CharKind::space);
  CHECK(table.kinds('_') == (CharKind::word | CharKind::punctuation));
  CHECK(table.kinds('+') == CharKind::punctuation);
  CHECK(table.is(0x85, CharKind::space));
  CHECK(!table.is(0x180E, CharKind::space));
  CHECK(!table.is(0x200B, CharKind::space));
  CHECK(table.is(0x1C89, CharKind::letter));   // Unicode 16
  CHECK(table.is(0x2EBF0, CharKind::letter));  // Unicode 15.1
  CHECK(table.is(0x11BF0, CharKind::number));  // Unicode 16
  CHECK(table.kinds(0x10FFFF) == 0);
  CHECK(table.kinds(0x110000) == 0);
}

TEST_CASE("added_tokens: the leftmost is found, of those the longest, and white space goes along") {
  AddedTokenFinder finder;
  const auto add = [&](TokenId id, const char* content, auto... options) {
    AddedToken token;
    token.content = content;
    token.id = id;
    ((token.*options = true), ...);
    finder.add(token, content);
  };
  add(1, "<a>");
  add(2, "<a>b");
  add(3, "w", &AddedToken::single_word);
  add(4, "<l>", &AddedToken::lstrip);
  add(5, "<r>", &AddedToken::rstrip);
  const auto split = [&](const std::string& text) {
    std::string marked;
    finder.split(text, [&](AddedTokenFinder::Part part) {
      marked += part.token ? "[" + std::to_string(*part.token) + "]" : "(" + std::string(part.text) + ")";
    });
    return marked;
  };
  CHECK(split("x<a>y<a>b<a") == "(x)[1](y)[2](<a)");
  CHECK(split("w ww w.w éw") == "[3]( ww )[3](.)[3]( éw)");
  CHECK(split("x \t<l> <r>\n y") == "(x)[4]( )[5](y)");
  CHECK(split("nothing") == "(nothing)");
}

TEST_CASE("added_tokens: each stretch of white space is read once, however many tokens take it along") {
  constexpr std::size_t kSpaces = 1'000'000;  // read again for each of them it would take hours
  for (const bool left : {true, false}) {
    AddedTokenFinder finder;
    AddedToken token;
    token.content = " ";
    token.lstrip = left;
    token.rstrip = !left;
    finder.add(token, token.content);
    std::size_t n_bytes = 0;
    finder.split(std::string(kSpaces, ' ') + "x", [&](AddedTokenFinder::Part part) { n_bytes = part.text.size(); });
    CHECK(n_bytes == 1);  // x
  }
}

}  // namespace
}  // namespace ffmem::tokenization
