// Where a pattern occurs in a text: the ground of `Split` and `Replace`.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "loaders/tokenizer/function_ref.hpp"

namespace ffmem::tokenization {

/// Immutable; safe to use from several threads.
class Pattern {
 public:
  /// A match, or a stretch without one. Bytes [begin, end) of the text.
  struct Part {
    std::size_t begin, end;
    bool is_match;
  };
  using Visit = FunctionRef<void(Part)>;

  virtual ~Pattern() = default;

  /// The parts, in order; together they cover the text. Only matches may be empty. The text must be valid UTF-8.
  virtual void for_each_part(std::string_view text, Visit visit) const = 0;
};

/// Matches exactly `text`, which must not be empty.
std::unique_ptr<const Pattern> literal_pattern(std::string text);

/// A regular expression in Oniguruma's (Ruby's) dialect; GPT-2's own is recognised and runs without a regular expression
/// engine. `origin` ("tokenizer.json: pre_tokenizer") starts the messages. Throws tokenizer_invalid (not a regular expression),
/// tokenizer_unsupported (a construct that this program does not translate). Matching throws tokenizer_unsupported where it
/// would take too many steps.
std::unique_ptr<const Pattern> regex_pattern(std::string_view regex, const std::string& origin);

/// The pattern of `ByteLevel` with use_regex.
extern const std::string_view kGpt2Regex;

}  // namespace ffmem::tokenization
