// Tokens that are cut out of the text before anything else happens to it.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loaders/tokenizer/function_ref.hpp"
#include "ops/dtype.hpp"

namespace ffmem::tokenization {

struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool single_word = false;  // only where no word character (\w) is next to it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // ... behind it
  bool normalized = false;   // looked for in the normalised text, in its own normalised form
  bool special = false;      // left out of decoded text where that is asked for

  bool operator==(const AddedToken&) const = default;
};

/// Finds tokens in text: leftmost first, of those the longest.
class AddedTokenFinder {
 public:
  /// `form` is what to look for; the first token with a form has it. Empty forms are never found.
  void add(const AddedToken& token, std::string_view form);

  struct Part {
    std::string_view text;
    std::optional<TokenId> token;  // none: text between tokens
  };
  /// The parts of `text` (valid UTF-8, not empty), in order. As in `tokenizers`, a token that takes white space along may
  /// overlap the one behind it.
  void split(std::string_view text, FunctionRef<void(Part)> visit) const;

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// Of a tree of all forms, byte by byte.
  struct Node {
    std::vector<std::pair<char, std::size_t>> children;  // few, in no order
    std::size_t token = kNone;                           // whose form ends here
  };
  struct Found {
    std::size_t end;
    const AddedToken* token;
  };
  std::size_t child(std::size_t node, char byte) const noexcept;
  std::size_t candidate(std::string_view text, std::size_t from) const noexcept;
  std::optional<Found> longest_at(std::string_view text, std::size_t begin) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_{1};        // the first is the root
  std::array<bool, 256> is_first_{};  // bytes that forms begin with
};

}  // namespace ffmem::tokenization
