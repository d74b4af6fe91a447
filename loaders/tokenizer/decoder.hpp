// From tokens back to text, token by token.
//
// A decoder is a chain of steps. Text flows through it in chunks, and between tokens comes a mark; some steps make one token of
// many by swallowing the marks. So decoding a text at once and token by token are the same thing.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/tokenizer/pattern.hpp"
#include "loaders/tokenizer/text_budget.hpp"

namespace ffmem::tokenization {

/// What a step, or the end of the chain, is fed. For one text.
class DecoderSink {
 public:
  virtual ~DecoderSink() = default;
  virtual void text(std::string_view chunk) = 0;  // whole characters
  virtual void end_token() = 0;
  virtual void finish() = 0;
};

/// Immutable; safe to use from several threads.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;

  /// The step at work on one text, feeding `next`. Both arguments must outlive it.
  virtual std::unique_ptr<DecoderSink> start(DecoderSink& next, TextBudget& budget) const = 0;

  /// What the step makes of one token inside a text; may be bytes that are no whole characters.
  virtual std::string inside(std::string token, TextBudget& budget) const = 0;
};
using DecoderSteps = std::vector<std::unique_ptr<const DecoderStep>>;

/// Joins tokens by one space. What a file without decoder means.
std::unique_ptr<const DecoderStep> space_joining_step();

/// Makes one token of all.
std::unique_ptr<const DecoderStep> fuse_step();

/// Tokens spelt in GPT-2's byte alphabet (others stay as they are) into one token; maximal invalid parts become U+FFFD.
std::unique_ptr<const DecoderStep> byte_level_step();

/// A run of tokens <0x00> to <0xFF> into the text of these bytes, or one U+FFFD for each if they are not valid UTF-8.
std::unique_ptr<const DecoderStep> byte_fallback_step();

/// Occurrences of a text (not empty), or of a pattern, within each token. `origin` ("tokenizer.json: decoder") starts the
/// message of tokenizer_unsupported, thrown where a text gets too long.
std::unique_ptr<const DecoderStep> replace_text_step(std::string text, std::string content, std::string origin);
std::unique_ptr<const DecoderStep> replace_pattern_step(std::unique_ptr<const Pattern> pattern, std::string content,
                                                        std::string origin);

/// Takes up to `start` characters `content` off the front of each token, and up to `stop` off its end.
std::unique_ptr<const DecoderStep> strip_step(char32_t content, std::size_t start, std::size_t stop);

/// Spaces for `replacement`; with `drop_in_first` nothing for those of the first token.
std::unique_ptr<const DecoderStep> metaspace_step(char32_t replacement, bool drop_in_first);

/// One text on its way through the steps.
class Decoding {
 public:
  explicit Decoding(const DecoderSteps& steps);
  ~Decoding();

  /// Takes one token; what comes out is all of the text that can no longer change.
  std::string push(std::string_view token);
  std::string finish();

 private:
  class Collector;

  std::string take();

  TextBudget budget_;
  std::unique_ptr<Collector> collector_;
  std::vector<std::unique_ptr<DecoderSink>> sinks_;  // from the last step to the first
};

}  // namespace ffmem::tokenization
