// Rewriting text before it is cut into pieces.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loaders/tokenizer/pattern.hpp"
#include "loaders/tokenizer/text_budget.hpp"

namespace ffmem::tokenization {

/// A stretch of text on its way through the steps.
struct NormalizedText {
  std::string text;  // valid UTF-8
  bool at_start;     // its first character comes from the first one of the whole text
  TextBudget& budget;
};

/// Immutable; safe to use from several threads.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(NormalizedText& text) const = 0;
};
using Normalizers = std::vector<std::unique_ptr<const Normalizer>>;

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
std::unique_ptr<const Normalizer> unicode_normalizer(UnicodeForm form);

/// Character by character, without regard to context.
std::unique_ptr<const Normalizer> lowercase_normalizer();

/// Puts `prefix` before every stretch that is not empty. `origin` ("tokenizer.json: normalizer") starts the message of
/// tokenizer_unsupported, thrown where a text gets too long.
std::unique_ptr<const Normalizer> prepend_normalizer(std::string prefix, std::string origin);

/// `origin` as above.
std::unique_ptr<const Normalizer> replace_normalizer(std::unique_ptr<const Pattern> pattern, std::string content,
                                                     std::string origin);

/// Takes white space off the ends.
std::unique_ptr<const Normalizer> strip_normalizer(bool left, bool right);

/// Takes out all combining marks.
std::unique_ptr<const Normalizer> strip_accents_normalizer();

}  // namespace ffmem::tokenization
