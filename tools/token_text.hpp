// Tokens and other bytes as text that can be seen, for tables on a terminal, pages and files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "loaders/tokenizer.hpp"
#include "tools/json_text.hpp"

namespace ffmem::tools {

/// What the token adds to a text, not always valid UTF-8; nothing where there is no tokenizer (null) or it has no such token.
std::optional<std::string> token_bytes(const Tokenizer* tokenizer, TokenId id);

/// The token's bytes with everything visible: a space is "␣", a line end "\n"; "\xE4" is a byte that belongs to no character,
/// or to one that would not show (a control, a space of another kind, a joiner). "#17" where there is no tokenizer (null) or it
/// has no such token.
std::string visible_token(const Tokenizer* tokenizer, TokenId id);

/// The same, cut with "…" where it has more than `max_characters`.
std::string visible_token(const Tokenizer* tokenizer, TokenId id, std::size_t max_characters);

/// Any bytes with everything visible, as above.
std::string visible_text(std::string_view bytes);

/// The same with spaces as they are: running text for a reader.
std::string readable_text(std::string_view bytes);

/// The same with every character as it is but controls other than tabs and line ends: text for programs, which does nothing to
/// a terminal.
std::string text_without_controls(std::string_view bytes);

/// A token's bytes; "#17" where it has none.
std::string text_or_number(std::string_view bytes, TokenId id);

/// {"id", "text"}, as every command writes a token; bytes that are no UTF-8 are U+FFFD there, text is null where there is none.
JsonObject token_json(TokenId id, const std::optional<std::string>& bytes);

}  // namespace ffmem::tools
