#include "loaders/tokenizer/gpt2_scanner.hpp"

#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

constexpr std::uint8_t kKindsInPattern = CharKind::letter | CharKind::number | CharKind::space;

}  // namespace

Gpt2Scanner::Look Gpt2Scanner::look(std::size_t at) const noexcept {
  const Utf8Char c = utf8_at(text_, at);
  return {static_cast<std::uint8_t>(table_.kinds(c.code) & kKindsInPattern), c.length};
}

/// Bytes of 's, 't, 're, 've, 'm, 'll or 'd at the current position, which holds an apostrophe; 0 if none.
std::size_t Gpt2Scanner::contraction() const noexcept {
  const std::string_view rest = text_.substr(at_ + 1, 2);
  if (rest.empty()) return 0;
  if (rest[0] == 's' || rest[0] == 't' || rest[0] == 'm' || rest[0] == 'd') return 2;
  return rest == "re" || rest == "ve" || rest == "ll" ? 3 : 0;
}

std::size_t Gpt2Scanner::run_end(std::size_t at, std::uint8_t kind) const noexcept {
  while (at < text_.size()) {
    const Look c = look(at);
    if (c.kind != kind) break;
    at += c.length;
  }
  return at;
}

/// White space up to the end of the text is one match; before anything else the last character of the run is left over for
/// the next match, unless it is all there is.
std::size_t Gpt2Scanner::space_run_end() const noexcept {
  std::size_t last = at_;
  std::size_t end = at_;
  while (end < text_.size()) {
    const Look c = look(end);
    if (c.kind != CharKind::space) return last == at_ ? end : last;
    last = end;
    end += c.length;
  }
  return end;
}

std::string_view Gpt2Scanner::next() noexcept {
  const std::size_t begin = at_;
  if (text_[begin] == '\'') {
    if (const std::size_t length = contraction(); length > 0) {
      at_ += length;
      return text_.substr(begin, length);
    }
  }
  const std::size_t body = text_[begin] == ' ' ? begin + 1 : begin;  // after the optional space
  const bool has_body = body < text_.size();
  const Look first = has_body ? look(body) : Look{CharKind::space, 0};
  at_ = first.kind == CharKind::space ? space_run_end() : run_end(body + first.length, first.kind);
  return text_.substr(begin, at_ - begin);
}

}  // namespace ffmem::tokenization
