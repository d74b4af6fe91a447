#include "tools/value_tokens.hpp"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "tools/token_text.hpp"

namespace ffmem::tools {

std::string value_tokens_text(const TopTokens& top, const TokenBytes& bytes) {
  std::string text;
  for (std::size_t i = 0; i < top.tokens.size(); ++i) {
    const std::string token = text_or_number(bytes(top.tokens[i]).value_or(""), top.tokens[i]);
    text += fmt::format("{:9.2g}  {}\n", std::exp(top.log_probabilities[i]), visible_text(token));
  }
  return text;
}

Json value_tokens_json(const TopTokens& top, const TokenBytes& bytes) {
  std::vector<Json> tokens;
  for (std::size_t i = 0; i < top.tokens.size(); ++i) {
    const TokenId id = top.tokens[i];
    tokens.push_back(token_json(id, bytes(id)).add("probability", std::exp(top.log_probabilities[i])).json());
  }
  return to_json(tokens);
}

}  // namespace ffmem::tools
