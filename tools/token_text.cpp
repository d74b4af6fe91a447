#include "tools/token_text.hpp"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <cstdint>

#include "loaders/tokenizer/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

void append_visible(std::string& out, char c) {
  if (c == ' ') {
    out += "\u2423";
  } else if (c == '\n') {
    out += "\\n";
  } else if (c == '\t') {
    out += "\\t";
  } else {
    out += fmt::format("\\x{:02X}", static_cast<unsigned char>(c));
  }
}

/// Whether a valid character shows on its own: no control, no blank, nothing without width such as a joiner.
bool is_plain(std::string_view character) {
  constexpr std::uint32_t kHidden = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_Z_MASK;
  return (U_GET_GC_MASK(tokenization::utf8_at(character, 0).code) & kHidden) == 0;
}

}  // namespace

std::string visible_text(std::string_view bytes) {
  using tokenization::Utf8Step;
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = tokenization::utf8_step(bytes, at);
    const std::string_view character = bytes.substr(at, step.length);
    if (step.kind == Utf8Step::Kind::valid && is_plain(character)) {
      out += character;
    } else {
      for (const char c : character) append_visible(out, c);
    }
    at += step.length;
  }
  return out;
}

std::optional<std::string> token_bytes(const Tokenizer* tokenizer, TokenId id) {
  if (tokenizer == nullptr) return {};
  try {
    return tokenizer->token_bytes(id);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::token_out_of_range) throw;
    return {};
  }
}

std::string visible_token(const Tokenizer* tokenizer, TokenId id) {
  const std::optional<std::string> bytes = token_bytes(tokenizer, id);
  return bytes ? visible_text(*bytes) : fmt::format("#{}", id);
}

std::string visible_token(const Tokenizer* tokenizer, TokenId id, std::size_t max_characters) {
  const std::string text = visible_token(tokenizer, id);
  std::size_t end = 0;
  for (std::size_t n = 0; end < text.size(); ++n) {
    if (n + 1 == max_characters && end + tokenization::utf8_at(text, end).length < text.size()) {
      return text.substr(0, end) + "\u2026";
    }
    end += tokenization::utf8_at(text, end).length;
  }
  return text;
}

}  // namespace ffmem::tools
