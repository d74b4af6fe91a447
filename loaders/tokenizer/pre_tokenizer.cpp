#include "loaders/tokenizer/pre_tokenizer.hpp"

#include "loaders/tokenizer/byte_alphabet.hpp"
#include "loaders/tokenizer/characters.hpp"
#include "loaders/tokenizer/gpt2_scanner.hpp"
#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

/// One text on its way through the steps.
struct Passage {
  const PreTokenizerChain& chain;
  TextBudget& budget;
  PieceSink sink;

  /// Through the steps from number `step` on.
  void run(std::size_t step, Piece piece) {
    if (step == chain.steps.size()) return sink(piece);
    chain.steps[step]->split(piece, [&](Piece part) {
      if (part.text.empty()) return;
      budget.spend(part.text.size(), chain.origin);
      run(step + 1, part);
    });
  }
};

}  // namespace

void pre_tokenize(const PreTokenizerChain& chain, Piece piece, TextBudget& budget, PieceSink sink) {
  Passage{chain, budget, sink}.run(0, piece);
}

bool is_white_space(char32_t code) { return CharTable::get().is(code, CharKind::space); }
bool is_numeric(char32_t code) {
  const bool is_of_unicode_17 = (code >= 0x11DE0 && code <= 0x11DE9) || (code >= 0x16FF4 && code <= 0x16FF6);
  return is_of_unicode_17 || CharTable::get().is(code, CharKind::number);
}
bool is_punctuation(char32_t code) { return CharTable::get().is(code, CharKind::punctuation); }

namespace {

/// Turns matches and the stretches between them, in order, into pieces.
class Splitter {
 public:
  Splitter(Piece piece, SplitBehavior behavior, PieceSink sink) : piece_(piece), behavior_(behavior), sink_(sink) {}

  void add(Pattern::Part part) {
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!part.is_match) emit(part);
        break;
      case SplitBehavior::isolated:
        emit(part);
        break;
      case SplitBehavior::contiguous:
        join(part, holds_ && held_.is_match == part.is_match);
        break;
      case SplitBehavior::merged_with_previous:
        join(part, holds_ && !held_.is_match && part.is_match);
        break;
      case SplitBehavior::merged_with_next:
        join(part, holds_ && held_.is_match && !part.is_match);
        break;
    }
  }

  void finish() {
    if (holds_) emit(held_);
  }

 private:
  /// Holds the part back, together with the one held so far or after letting that go.
  void join(Pattern::Part part, bool together) {
    if (together) {
      held_.end = part.end;
      held_.is_match = part.is_match;
    } else {
      finish();
      held_ = part;
      holds_ = true;
    }
  }

  void emit(Pattern::Part part) {
    sink_({piece_.text.substr(part.begin, part.end - part.begin), piece_.at_start && part.begin == 0});
  }

  Piece piece_;
  SplitBehavior behavior_;
  PieceSink sink_;
  Pattern::Part held_{};
  bool holds_ = false;
};

class Split final : public PreTokenizer {
 public:
  Split(std::unique_ptr<const Pattern> pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(Piece piece, PieceSink sink) const override {
    Splitter splitter(piece, behavior_, sink);
    pattern_->for_each_part(piece.text, [&](Pattern::Part part) {
      splitter.add({part.begin, part.end, part.is_match != invert_});
    });
    splitter.finish();
  }

 private:
  std::unique_ptr<const Pattern> pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(CharTest matches, SplitBehavior behavior) : matches_(matches), behavior_(behavior) {}

  void split(Piece piece, PieceSink sink) const override {
    Splitter splitter(piece, behavior_, sink);
    std::size_t begin = 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      const Utf8Char c = utf8_at(piece.text, at);
      if (matches_(c.code)) {
        if (begin < at) splitter.add({begin, at, false});
        begin = at + c.length;
        splitter.add({at, begin, true});
      }
      at += c.length;
    }
    if (begin < piece.text.size()) splitter.add({begin, piece.text.size(), false});
    splitter.finish();
  }

 private:
  CharTest matches_;
  SplitBehavior behavior_;
};

class Whitespace final : public PreTokenizer {
 public:
  void split(Piece piece, PieceSink sink) const override {
    const CharTable& table = CharTable::get();
    const auto kind_at = [&](std::size_t at) {
      return static_cast<std::uint8_t>(table.kinds(utf8_at(piece.text, at).code) & (CharKind::space | CharKind::word));
    };
    for (std::size_t begin = 0; begin < piece.text.size();) {
      const std::uint8_t kind = kind_at(begin);
      std::size_t end = begin;
      do {
        end += utf8_at(piece.text, end).length;
      } while (end < piece.text.size() && kind_at(end) == kind);
      if (kind != CharKind::space) sink({piece.text.substr(begin, end - begin), piece.at_start && begin == 0});
      begin = end;
    }
  }
};

class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(ByteLevelOptions options) : options_(options) {}

  void split(Piece piece, PieceSink sink) const override {
    std::string with_space;
    std::string_view text = piece.text;
    if (options_.add_prefix_space && text.front() != ' ') {
      with_space.reserve(text.size() + 1);
      with_space += ' ';
      with_space += text;
      text = with_space;
    }
    const std::size_t n_inserted = with_space.empty() ? 0 : 1;
    std::string spelling;
    const auto emit = [&](std::string_view part) {
      // What follows the space that was put in begins where the text begins, too.
      const bool at_start = piece.at_start && part.data() <= text.data() + n_inserted;
      if (!options_.spell) return sink({part, at_start});
      spelling.clear();
      append_byte_alphabet(spelling, part);
      sink({spelling, at_start});
    };
    if (!options_.use_regex) return emit(text);
    for (Gpt2Scanner scanner(text); !scanner.done();) emit(scanner.next());
  }

 private:
  ByteLevelOptions options_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceOptions options)
      : options_(std::move(options)), pattern_(literal_pattern(options_.replacement)) {}

  void split(Piece piece, PieceSink sink) const override {
    using Prepend = MetaspaceOptions::Prepend;
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2);
    for (const char c : piece.text) {
      if (c == ' ') {
        text += options_.replacement;
      } else {
        text += c;
      }
    }
    const bool wanted = options_.prepend == Prepend::always || (options_.prepend == Prepend::first && piece.at_start);
    if (wanted && !text.starts_with(options_.replacement)) text.insert(0, options_.replacement);
    const Piece replaced{text, piece.at_start};
    if (!options_.split) return sink(replaced);
    Splitter splitter(replaced, SplitBehavior::merged_with_next, sink);
    pattern_->for_each_part(text, [&](Pattern::Part part) { splitter.add(part); });
    splitter.finish();
  }

 private:
  MetaspaceOptions options_;
  std::unique_ptr<const Pattern> pattern_;
};

}  // namespace

std::unique_ptr<const PreTokenizer> split_pre_tokenizer(std::unique_ptr<const Pattern> pattern, SplitBehavior behavior,
                                                        bool invert) {
  return std::make_unique<Split>(std::move(pattern), behavior, invert);
}

std::unique_ptr<const PreTokenizer> character_pre_tokenizer(CharTest matches, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit>(matches, behavior);
}

std::unique_ptr<const PreTokenizer> whitespace_pre_tokenizer() { return std::make_unique<Whitespace>(); }

std::unique_ptr<const PreTokenizer> byte_level_pre_tokenizer(ByteLevelOptions options) {
  return std::make_unique<ByteLevel>(options);
}

std::unique_ptr<const PreTokenizer> metaspace_pre_tokenizer(MetaspaceOptions options) {
  return std::make_unique<Metaspace>(std::move(options));
}

}  // namespace ffmem::tokenization
