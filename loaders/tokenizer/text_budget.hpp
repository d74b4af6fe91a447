// How much the steps of a tokenizer may make of one text.
#pragma once

#include <cstddef>
#include <string_view>

namespace ffmem::tokenization {

/// How many steps each part of a tokenizer may have.
inline constexpr std::size_t kMostSteps = 64;

/// The bytes that steps may still make: a few that each double a text would take all memory. Steps that only cut a text up may
/// be as many as kMostSteps. For one text, or one stream of tokens.
class TextBudget {
 public:
  explicit TextBudget(std::string_view text = {}) { add(text); }

  /// The text goes on.
  void add(std::string_view text) noexcept {
    total_ += kMostSteps * text.size();
    left_ += kMostSteps * text.size();
  }

  /// Call it before making that many bytes. Throws tokenizer_unsupported where there are not that many left; `origin`
  /// ("tokenizer.json: normalizer") starts the message.
  void spend(std::size_t n_bytes, std::string_view origin) {
    if (n_bytes > left_) refuse(origin);
    left_ -= n_bytes;
  }

 private:
  static constexpr std::size_t kForAnyText = 4096;  // what a short text, or a single token, may become

  [[noreturn]] void refuse(std::string_view origin) const;

  std::size_t total_ = kForAnyText;
  std::size_t left_ = kForAnyText;
};

}  // namespace ffmem::tokenization
