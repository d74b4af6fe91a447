// Cutting text into the pieces that the model encodes one by one.
//
// Steps push: each takes one piece and hands its parts, in order, to the next step, so that no list of pieces is ever made.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/tokenizer/function_ref.hpp"
#include "loaders/tokenizer/pattern.hpp"
#include "loaders/tokenizer/text_budget.hpp"

namespace ffmem::tokenization {

struct Piece {
  std::string_view text;
  bool at_start;  // it begins where the whole text begins
};
using PieceSink = FunctionRef<void(Piece)>;

/// Immutable; safe to use from several threads. Text is valid UTF-8, but for what ByteLevel without spelling puts out.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// `piece` is not empty; parts may be. They are valid only during the call of `sink`.
  virtual void split(Piece piece, PieceSink sink) const = 0;
};
using PreTokenizers = std::vector<std::unique_ptr<const PreTokenizer>>;

struct PreTokenizerChain {
  std::string origin;  // "tokenizer.json: pre_tokenizer", for messages
  PreTokenizers steps;
  bool puts_out_bytes = false;  // ends with a ByteLevel that leaves the spelling to the model
};

/// Sends the piece through all steps; what comes out is not empty. Throws tokenizer_unsupported where the steps would make too
/// much of the text.
void pre_tokenize(const PreTokenizerChain& chain, Piece piece, TextBudget& budget, PieceSink sink);

/// What becomes of a match.
enum class SplitBehavior {
  removed,
  isolated,              // a piece of its own
  merged_with_previous,  // the end of the piece before it, unless that is a match, too
  merged_with_next,      // the start of the piece after it, unless that is a match, too
  contiguous,            // neighbouring matches are one piece
};

/// Cuts at the matches of a pattern; with `invert` at what is between them.
std::unique_ptr<const PreTokenizer> split_pre_tokenizer(std::unique_ptr<const Pattern> pattern, SplitBehavior behavior,
                                                        bool invert);

/// Cuts at every character for which `matches` holds.
using CharTest = bool (*)(char32_t code);
std::unique_ptr<const PreTokenizer> character_pre_tokenizer(CharTest matches, SplitBehavior behavior);

/// Words (letters, marks, digits, _) and runs of other characters that are not white space.
std::unique_ptr<const PreTokenizer> whitespace_pre_tokenizer();

struct ByteLevelOptions {
  bool add_prefix_space;  // one space before a piece that does not begin with one
  bool use_regex;         // cut by GPT-2's pattern
  bool spell;             // write the bytes in GPT-2's alphabet; false: leave that to the model
};
std::unique_ptr<const PreTokenizer> byte_level_pre_tokenizer(ByteLevelOptions options);

struct MetaspaceOptions {
  enum class Prepend { always, first, never };
  std::string replacement;  // one character, for every space
  Prepend prepend;          // ... and before a piece that does not begin with it (first: one that begins the text)
  bool split;               // cut before each of them
};
/// Where a normaliser makes several words of a text's first character, `tokenizers` has `first` before each of them.
std::unique_ptr<const PreTokenizer> metaspace_pre_tokenizer(MetaspaceOptions options);

bool is_white_space(char32_t code);
bool is_numeric(char32_t code);
bool is_punctuation(char32_t code);

}  // namespace ffmem::tokenization
