// One text file, line by line, through a buffer of fixed size (no mapping: what a pass over a corpus takes of memory must not
// grow with the corpus).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace ffmem::tools {

class CorpusFile {
 public:
  /// Opens `path`; skips a byte order mark. Throws file_not_found, file_unreadable (a directory, a pipe, no permission).
  CorpusFile(std::filesystem::path path, std::size_t buffer_bytes);
  ~CorpusFile();
  CorpusFile(const CorpusFile&) = delete;
  CorpusFile& operator=(const CorpusFile&) = delete;

  /// What is left of the current line, without its "\n", as far as the buffer holds it.
  struct Piece {
    std::string_view text;
    bool complete = true;  // to the line's end; false: the line goes on behind a full buffer
  };

  /// Valid until the next call. At the end of the file: false. Throws file_unreadable.
  bool peek(Piece& piece);

  /// Goes n bytes on; from a complete piece, all of it includes its line end.
  void consume(std::size_t n, const Piece& piece);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t line() const noexcept { return line_; }                    // of the next byte, from 1
  std::uint64_t offset() const noexcept { return file_offset_ + begin_; }  // of the next byte, from 0

 private:
  void refill();

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string buffer_;
  std::size_t begin_ = 0;          // of what is not consumed yet
  std::size_t scanned_ = 0;        // no "\n" in [begin_, scanned_)
  std::size_t end_ = 0;            // of what was read
  std::uint64_t file_offset_ = 0;  // of buffer_[0]
  std::uint64_t line_ = 1;
  bool at_end_ = false;
};

}  // namespace ffmem::tools
