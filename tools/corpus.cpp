#include "tools/corpus.hpp"

#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <algorithm>
#include <utility>

#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "tools/strip.hpp"

namespace ffmem::tools {
namespace {

/// Where to cut a piece of a line that goes on: behind its last white space, or else at its end.
std::size_t cut_position(std::string_view text) {
  const std::size_t space = text.find_last_of(" \t\r\f\v");
  const bool splits = space != std::string_view::npos && !stripped_as_in_python(text.substr(0, space)).empty();
  return splits ? space + 1 : text.size();
}

}  // namespace

std::string_view sentence_mode_name(SentenceMode mode) noexcept { return mode == SentenceMode::icu ? "icu" : "lines"; }

SentenceMode sentence_mode_from_name(std::string_view name) {
  for (const SentenceMode mode : {SentenceMode::icu, SentenceMode::lines}) {
    if (name == sentence_mode_name(mode)) return mode;
  }
  fail(ErrorCode::argument_invalid, "sentences: expected icu or lines, found '", name, "'");
}

/// ICU's sentence boundaries.
class SentenceReader::Splitter {
 public:
  Splitter() {
    UErrorCode status = U_ZERO_ERROR;
    iterator_.reset(icu::BreakIterator::createSentenceInstance(icu::Locale::getRoot(), status));
    check(status);
  }
  ~Splitter() { utext_close(&text_); }
  Splitter(const Splitter&) = delete;
  Splitter& operator=(const Splitter&) = delete;

  /// Calls add(begin, end) for every sentence of `text`, which is valid UTF-8.
  template <class Add>
  void for_each(std::string_view text, Add&& add) {
    UErrorCode status = U_ZERO_ERROR;
    utext_openUTF8(&text_, text.data(), static_cast<std::int64_t>(text.size()), &status);
    iterator_->setText(&text_, status);
    check(status);
    std::int32_t begin = iterator_->first();
    for (std::int32_t end = iterator_->next(); end != icu::BreakIterator::DONE; begin = end, end = iterator_->next()) {
      add(static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
    }
  }

 private:
  static void check(UErrorCode status) {
    if (U_FAILURE(status)) fail(ErrorCode::backend_failed, "ICU's sentence boundaries: ", u_errorName(status));
  }
  std::unique_ptr<icu::BreakIterator> iterator_;
  UText text_ = UTEXT_INITIALIZER;
};

SentenceReader::SentenceReader(std::vector<std::filesystem::path> files, SentenceMode mode, std::size_t buffer_bytes)
    : files_(std::move(files)),
      buffer_bytes_(buffer_bytes),
      splitter_(mode == SentenceMode::icu ? std::make_unique<Splitter>() : nullptr) {}
SentenceReader::~SentenceReader() = default;
SentenceReader::SentenceReader(SentenceReader&&) noexcept = default;
SentenceReader& SentenceReader::operator=(SentenceReader&&) noexcept = default;

std::uint64_t SentenceReader::bytes_done() const noexcept {
  return bytes_of_earlier_files_ + (file_ != nullptr ? file_->offset() : 0);
}

std::optional<std::string_view> SentenceReader::next() {
  while (next_sentence_ == sentences_.size()) {
    if (!next_piece()) return std::nullopt;
    split_piece();
  }
  ++next_index_;
  return sentences_[next_sentence_++];
}

/// Moves on to the next piece of the file, or to the next file; false behind the last one.
bool SentenceReader::next_piece() {
  if (file_ != nullptr) file_->consume(piece_bytes_, piece_);
  piece_bytes_ = 0;
  while (file_ == nullptr || !file_->peek(piece_)) {
    if (file_ != nullptr) bytes_of_earlier_files_ += file_->offset();
    file_.reset();
    piece_ = {};
    if (next_file_ == files_.size()) return false;
    file_ = std::make_unique<CorpusFile>(files_[next_file_++], buffer_bytes_);
  }
  return true;
}

void SentenceReader::split_piece() {
  sentences_.clear();
  next_sentence_ = 0;
  std::string_view text = piece_.text;
  const std::size_t n_valid = valid_utf8_prefix(text);
  // A piece of a line that goes on may end inside a character, of at most 4 bytes.
  if (n_valid < text.size() && (piece_.complete || text.size() - n_valid >= 4)) {
    fail(ErrorCode::text_not_utf8, file_->path().string(), ": line ", file_->line(), ": byte ", file_->offset() + n_valid,
         " (from 0) is not UTF-8");
  }
  text = text.substr(0, n_valid);

  std::size_t first_open = 0;  // where a last sentence begins that may go on in the next piece
  const auto add = [&](std::size_t begin, std::size_t end) {
    first_open = begin;
    if (!piece_.complete && end == text.size()) return;
    const auto sentence = stripped_as_in_python(text.substr(begin, end - begin));
    if (!sentence.empty()) sentences_.push_back(sentence);
  };
  if (splitter_ != nullptr) {
    splitter_->for_each(text, add);
  } else {
    add(0, text.size());
  }
  piece_bytes_ = piece_.complete ? text.size() : first_open;
  if (!piece_.complete && first_open == 0) {
    piece_bytes_ = cut_position(text);
    const auto sentence = stripped_as_in_python(text.substr(0, piece_bytes_));
    if (!sentence.empty()) sentences_.push_back(sentence);
  }
}

std::uint64_t corpus_bytes(const std::vector<std::filesystem::path>& files) {
  std::uint64_t total = 0;
  for (const auto& path : files) {
    const CorpusFile check(path, 8);
    total += std::filesystem::file_size(path);
  }
  return total;
}

void check_corpus(const std::vector<std::filesystem::path>& files) {
  SentenceReader reader(files, SentenceMode::lines);
  while (reader.next()) continue;
}

}  // namespace ffmem::tools
