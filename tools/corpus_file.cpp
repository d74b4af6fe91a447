#include "tools/corpus_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "loaders/file_errors.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {

CorpusFile::CorpusFile(std::filesystem::path path, std::size_t buffer_bytes)
    : path_(std::move(path)), buffer_(buffer_bytes, '\0') {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    fail(missing ? ErrorCode::file_not_found : ErrorCode::file_unreadable, path_.string(), ": ", system_text(errno));
  }
  struct stat status {};
  const bool is_file = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_file) {
    ::close(descriptor_);
    fail(ErrorCode::file_unreadable, path_.string(), ": expected a text file, found ",
         S_ISDIR(status.st_mode) ? "a folder (name the files in it)" : "something that is not a regular file");
  }
  try {
    refill();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
  if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) {
    begin_ = scanned_ = kByteOrderMark.size();
  }
}

CorpusFile::~CorpusFile() { ::close(descriptor_); }

void CorpusFile::refill() {
  std::copy(buffer_.data() + begin_, buffer_.data() + end_, buffer_.data());
  file_offset_ += begin_;
  scanned_ -= begin_;
  end_ -= begin_;
  begin_ = 0;
  while (!at_end_ && end_ < buffer_.size()) {
    const auto n = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::file_unreadable, path_.string(), ": ", system_text(errno));
    at_end_ = n == 0;
    end_ += static_cast<std::size_t>(n);
  }
}

bool CorpusFile::peek(Piece& piece) {
  for (;;) {
    const char* found = static_cast<const char*>(std::memchr(buffer_.data() + scanned_, '\n', end_ - scanned_));
    const bool is_full = begin_ == 0 && end_ == buffer_.size();
    if (found != nullptr || at_end_ || is_full) {
      scanned_ = found != nullptr ? static_cast<std::size_t>(found - buffer_.data()) : end_;
      piece = {{buffer_.data() + begin_, scanned_ - begin_}, found != nullptr || at_end_};
      return found != nullptr || begin_ < end_;
    }
    scanned_ = end_;
    refill();
  }
}

void CorpusFile::consume(std::size_t n, const Piece& piece) {
  begin_ += n;
  scanned_ = std::max(scanned_, begin_);
  if (piece.complete && n == piece.text.size() && begin_ < end_) {
    ++begin_;
    ++scanned_;
    ++line_;
  }
}

}  // namespace ffmem::tools
