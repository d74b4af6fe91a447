#include "tools/token_text.hpp"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <cstdint>

#include "loaders/utf8.hpp"
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

/// What does not show on its own: controls, blanks, and what has no width, such as a joiner.
constexpr std::uint32_t kUnseen = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_Z_MASK;

/// The bytes with characters of these categories made visible, but for those in `kept`, and whatever is no character.
std::string with_visible(std::string_view bytes, std::uint32_t categories, std::string_view kept) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    const std::string_view character = bytes.substr(at, step.length);
    const auto is_shown = [&] {
      return (U_GET_GC_MASK(utf8_at(character, 0).code) & categories) == 0 || kept.find(character) != std::string_view::npos;
    };
    if (step.kind == Utf8Step::Kind::valid && is_shown()) {
      out += character;
    } else {
      for (const char c : character) append_visible(out, c);
    }
    at += step.length;
  }
  return out;
}

}  // namespace

std::string visible_text(std::string_view bytes) { return with_visible(bytes, kUnseen, ""); }

std::string readable_text(std::string_view bytes) { return with_visible(bytes, kUnseen, " "); }

std::string text_without_controls(std::string_view bytes) { return with_visible(bytes, U_GC_CC_MASK, "\t\n\r"); }

std::string text_or_number(std::string_view bytes, TokenId id) {
  return bytes.empty() ? fmt::format("#{}", id) : std::string(bytes);
}

JsonObject token_json(TokenId id, const std::optional<std::string>& bytes) {
  return JsonObject().add("id", id).add("text", bytes);
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
  std::string text = visible_token(tokenizer, id);
  std::size_t end = 0;
  for (std::size_t n = 0; end < text.size(); ++n) {
    if (n + 1 == max_characters && end + utf8_at(text, end).length < text.size()) {
      return text.substr(0, end) + "\u2026";
    }
    end += utf8_at(text, end).length;
  }
  return text;
}

}  // namespace ffmem::tools
