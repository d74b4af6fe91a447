#include "tools/corpus.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tools/fingerprint.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

using Sentences = std::vector<std::string>;

Sentences all(const std::vector<std::filesystem::path>& files, SentenceMode mode,
              std::size_t buffer_bytes = kCorpusBufferBytes) {
  Sentences sentences;
  SentenceReader reader(files, mode, buffer_bytes);
  while (const auto sentence = reader.next()) {
    sentences.emplace_back(*sentence);
    CHECK(reader.next_index() == static_cast<std::int64_t>(sentences.size()));
  }
  CHECK(reader.bytes_done() == corpus_bytes(files));
  return sentences;
}

struct Corpus {
  TemporaryFolder folder;
  Sentences icu(const std::string& text, std::size_t buffer_bytes = kCorpusBufferBytes) {
    return all({folder.write("corpus", text)}, SentenceMode::icu, buffer_bytes);
  }
  Sentences lines(const std::string& text, std::size_t buffer_bytes = kCorpusBufferBytes) {
    return all({folder.write("corpus", text)}, SentenceMode::lines, buffer_bytes);
  }
};

}  // namespace

TEST_CASE("corpus: icu finds sentences within a line and ends one at every line end") {
  CHECK(Corpus().icu("It rains. The cat sleeps!  Why?\nno full stop\n\n  \n = Title = \nEnd") ==
        Sentences{"It rains.", "The cat sleeps!", "Why?", "no full stop", "= Title =", "End"});
  CHECK(Corpus().icu("Pi is 3.14 today. Ok.") == Sentences{"Pi is 3.14 today.", "Ok."});
}

TEST_CASE("corpus: lines takes every non-empty line as it is, stripped") {
  CHECK(Corpus().lines("It rains. The cat sleeps!\n\n \t\n  b \nc") == Sentences{"It rains. The cat sleeps!", "b", "c"});
}

TEST_CASE("corpus: line ends of Windows, Unicode white space and the byte order mark are not part of a sentence") {
  CHECK(Corpus().lines("\xEF\xBB\xBF"
                       "a\r\n\r\n\xC2\xA0\xE3\x80\x80"
                       "b\xE2\x80\x83\r\n") == Sentences{"a", "b"});
  CHECK(Corpus().icu("\xEF\xBB\xBF"
                     "One. Two.\r\nThree.\r\n") == Sentences{"One.", "Two.", "Three."});
  // Only at the start of a file.
  CHECK(Corpus().lines("a\n\xEF\xBB\xBF"
                       "b") == Sentences{"a",
                                         "\xEF\xBB\xBF"
                                         "b"});
}

TEST_CASE("corpus: a file without text has no sentences") {
  for (const std::string text : {"", "\n", " \r\n\t", "\xEF\xBB\xBF"}) {
    CHECK(Corpus().lines(text).empty());
    CHECK(Corpus().icu(text).empty());
  }
}

TEST_CASE("corpus: a file's end ends a sentence and numbers go on in the next file") {
  const TemporaryFolder folder;
  const std::vector files{folder.write("b", "One. Two"), folder.write("empty", ""), folder.write("a", "three")};
  CHECK(all(files, SentenceMode::icu) == Sentences{"One.", "Two", "three"});
  CHECK(all(files, SentenceMode::lines) == Sentences{"One. Two", "three"});
}

TEST_CASE("corpus: the buffer's size does not show while every sentence fits into it") {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    text += "W\xC3\xB6rter " + std::string(static_cast<std::size_t>(i % 7), 'x') + " fl\xC3\xBCstern. Ja! ";
    if (i % 9 == 8) text += "\r\n";
  }
  const auto expected = Corpus().icu(text);
  CHECK(expected.size() == 80);
  for (std::size_t buffer_bytes = 40; buffer_bytes < 90; ++buffer_bytes) {
    CAPTURE(buffer_bytes);
    CHECK(Corpus().icu(text, buffer_bytes) == expected);
  }
  const std::string short_lines = "ab\ncd \n\nefg\n\xC3\xA4\xC3\xB6\xC3\xBC\nx";
  for (std::size_t buffer_bytes = 8; buffer_bytes < 20; ++buffer_bytes) {
    CHECK(Corpus().lines(short_lines, buffer_bytes) == Corpus().lines(short_lines));
  }
}

TEST_CASE("corpus: a sentence longer than the buffer is cut at white space, or else between characters") {
  CHECK(Corpus().lines("aaa bbb ccc ddd\ne", 8) == Sentences{"aaa bbb", "ccc ddd", "e"});
  CHECK(Corpus().icu("aaa bbb ccc ddd\ne", 8) == Sentences{"aaa bbb", "ccc ddd", "e"});
  // Nine times two bytes in pieces of at most nine.
  std::string umlauts;
  for (int i = 0; i < 9; ++i) umlauts += "\xC3\xA4";
  CHECK(Corpus().lines(umlauts, 9) == Sentences{umlauts.substr(0, 8), umlauts.substr(8, 8), umlauts.substr(16)});
  CHECK(Corpus().lines(std::string(30, ' ') + "a", 8) == Sentences{"a"});
}

TEST_CASE("corpus: what is not UTF-8 is an error that names file, line and byte") {
  const TemporaryFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"good\nba\xFF", "line 2: byte 7 "},            // no UTF-8 at all
      {"\xC3", "line 1: byte 0 "},                    // half a character at the end of the file
      {"a\xC3\nb", "line 1: byte 1 "},                // and at the end of a line
      {"\n\n \xED\xA0\x80", "line 3: byte 3 "},       // a surrogate
      {"x \xC0\xAF y", "line 1: byte 2 "},            // an overlong form
      {"0123456789012\xFF 78901", "line 1: byte 13"}  // behind a full buffer
  };
  for (const auto& [text, place] : cases) {
    const auto path = folder.write("bad", text);
    for (const std::size_t buffer_bytes : {std::size_t{8}, kCorpusBufferBytes}) {
      const Error error = thrown([&] { all({path}, SentenceMode::icu, buffer_bytes); });
      CAPTURE(error.what());
      CHECK(error.code() == ErrorCode::text_not_utf8);
      CHECK(contains(error.what(), path.string()));
      CHECK(contains(error.what(), place));
    }
    CHECK(thrown([&] { check_corpus({path}); }).code() == ErrorCode::text_not_utf8);
  }
}

TEST_CASE("corpus: a missing file and a folder are clean errors") {
  const TemporaryFolder folder;
  for (const auto& path : {folder.path() / "none", folder.path()}) {
    const auto expected = path == folder.path() ? ErrorCode::file_unreadable : ErrorCode::file_not_found;
    const auto read = thrown([&] { all({path}, SentenceMode::lines); });
    CHECK(read.code() == expected);
    CHECK(contains(read.what(), path.string()));
    CHECK(thrown([&] { corpus_bytes({path}); }).code() == expected);
    CHECK(thrown([&] { fingerprint({path}); }).code() == expected);
  }
}

TEST_CASE("corpus: a mode is found by its name, and another name refused") {
  CHECK(sentence_mode_from_name("icu") == SentenceMode::icu);
  CHECK(sentence_mode_from_name("lines") == SentenceMode::lines);
  CHECK(thrown([] { sentence_mode_from_name("spacy"); }).code() == ErrorCode::argument_invalid);
}

TEST_CASE("fingerprint: depends on the bytes, their division into files and the order, not on names") {
  const TemporaryFolder folder;
  const auto print = [&](const std::vector<std::string>& texts, const std::string& prefix) {
    std::vector<std::filesystem::path> files;
    files.reserve(texts.size());
    for (const auto& text : texts) files.push_back(folder.write(prefix + std::to_string(files.size()), text));
    return fingerprint(files);
  };
  const auto expected = print({"abc", "defghijklm"}, "x");
  CHECK(expected.size() == 16);
  CHECK(print({"abc", "defghijklm"}, "y") == expected);
  CHECK(print({"abc", "defghijkln"}, "x") != expected);
  CHECK(print({"defghijklm", "abc"}, "x") != expected);
  CHECK(print({"abcd", "efghijklm"}, "x") != expected);
  CHECK(print({"abc", "defghijklm", ""}, "x") != expected);
  CHECK(print({std::string("abc\0", 4), "defghijklm"}, "x") != expected);
}
