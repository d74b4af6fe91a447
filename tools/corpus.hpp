// A corpus of UTF-8 text files as a stream of numbered sentences.
//
// Mode `icu`: sentence boundaries of Unicode (UAX 29) in ICU's root locale. A line end always ends a sentence.
// Mode `lines`: every line is a sentence as it is, so that any splitter's output can be used.
// Lines end at "\n" or "\r\n". Sentences are stripped of white space (tools/strip.hpp) at both ends; what is empty then
// is no sentence and gets no number. A byte order mark at a file's start is skipped; a file's end ends a sentence.
// Lines longer than the buffer (1 MiB) are read in pieces: `icu` goes on behind the last sentence that is known to be whole; a
// sentence that alone fills the buffer is cut there, at the last white space if there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/corpus_file.hpp"

namespace ffmem::tools {

enum class SentenceMode { icu, lines };

std::string_view sentence_mode_name(SentenceMode mode) noexcept;

/// Throws argument_invalid for a name that is neither.
SentenceMode sentence_mode_from_name(std::string_view name);

inline constexpr std::size_t kCorpusBufferBytes = std::size_t{1} << 20;

class SentenceReader {
 public:
  /// The files are opened one by one as they are reached. buffer_bytes >= 8. Throws backend_failed where ICU refuses, as next()
  /// does.
  SentenceReader(std::vector<std::filesystem::path> files, SentenceMode mode, std::size_t buffer_bytes = kCorpusBufferBytes);
  ~SentenceReader();
  SentenceReader(SentenceReader&&) noexcept;
  SentenceReader& operator=(SentenceReader&&) noexcept;

  /// The next sentence, valid until the next call; nothing at the end. Throws file_not_found, file_unreadable, and
  /// text_not_utf8 naming file, line and byte.
  std::optional<std::string_view> next();

  /// The number of the sentence that the next call returns, from 0 over all files.
  std::int64_t next_index() const noexcept { return next_index_; }

  /// Bytes of all files passed so far.
  std::uint64_t bytes_done() const noexcept;

 private:
  class Splitter;
  bool next_piece();
  void split_piece();

  std::vector<std::filesystem::path> files_;
  std::size_t next_file_ = 0;
  std::size_t buffer_bytes_;
  std::unique_ptr<CorpusFile> file_;
  std::unique_ptr<Splitter> splitter_;
  CorpusFile::Piece piece_;
  std::size_t piece_bytes_ = 0;              // of the piece that belong to its sentences
  std::vector<std::string_view> sentences_;  // of the piece
  std::size_t next_sentence_ = 0;
  std::int64_t next_index_ = 0;
  std::uint64_t bytes_of_earlier_files_ = 0;
};

/// Bytes of all files together. Throws file_not_found, file_unreadable for what is no readable regular file.
std::uint64_t corpus_bytes(const std::vector<std::filesystem::path>& files);

/// Reads everything once, so that long work over the files does not end in an error. Throws what SentenceReader::next throws.
void check_corpus(const std::vector<std::filesystem::path>& files);

}  // namespace ffmem::tools
