// The tokens that one value promotes, as ffmem show and ffmem values --unit print them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "runtime/output_head.hpp"
#include "tools/json_text.hpp"

namespace ffmem::tools {

/// A token's bytes; nothing where the vocabulary has no such token.
using TokenBytes = std::function<std::optional<std::string>(TokenId)>;

/// Of a single row of top tokens, a line each: probability and token.
std::string value_tokens_text(const TopTokens& top, const TokenBytes& bytes);

/// Of a single row, an array of {"id", "text", "probability"}.
Json value_tokens_json(const TopTokens& top, const TokenBytes& bytes);

}  // namespace ffmem::tools
