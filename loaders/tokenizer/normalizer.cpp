#include "loaders/tokenizer/normalizer.hpp"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "loaders/tokenizer/characters.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

/// The characters of Unicode 9.0: `tokenizers` leaves younger ones as they are.
const icu::UnicodeSet& normalized_characters() {
  static const auto set = [] {
    UErrorCode status = U_ZERO_ERROR;
    icu::UnicodeSet characters(UNICODE_STRING_SIMPLE("[:age=9.0:]"), status);
    if (U_FAILURE(status)) fail(ErrorCode::tokenizer_unsupported, "ICU: the characters of Unicode 9.0: ", u_errorName(status));
    characters.freeze();
    return characters;
  }();
  return set;
}

const icu::Normalizer2& icu_normalizer(UnicodeForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = nullptr;
  switch (form) {
    case UnicodeForm::nfc:
      normalizer = icu::Normalizer2::getNFCInstance(status);
      break;
    case UnicodeForm::nfd:
      normalizer = icu::Normalizer2::getNFDInstance(status);
      break;
    case UnicodeForm::nfkc:
      normalizer = icu::Normalizer2::getNFKCInstance(status);
      break;
    case UnicodeForm::nfkd:
      normalizer = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  if (U_FAILURE(status)) fail(ErrorCode::tokenizer_unsupported, "ICU: Unicode normalisation: ", u_errorName(status));
  return *normalizer;
}

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(UnicodeForm form) : normalizer_(icu_normalizer(form), normalized_characters()) {}

  void apply(NormalizedText& text) const override {
    if (text.text.size() > INT32_MAX) fail(ErrorCode::argument_invalid, "text: expected less than 2 GiB to normalise");
    if (is_ascii(text.text)) return;
    UErrorCode status = U_ZERO_ERROR;
    const icu::StringPiece source(text.text.data(), static_cast<std::int32_t>(text.text.size()));
    std::string normalized;
    icu::StringByteSink<std::string> sink(&normalized, source.length());
    normalizer_.normalizeUTF8(0, source, sink, nullptr, status);
    if (U_FAILURE(status)) fail(ErrorCode::argument_invalid, "text: Unicode normalisation: ", u_errorName(status));
    text.text = std::move(normalized);
  }

 private:
  static bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }

  icu::FilteredNormalizer2 normalizer_;
};

/// The small letters of Unicode 16 and 17, which ICU 72 lacks; as in `tokenizers` 0.23.
char32_t lower_of(char32_t code) {
  struct Range {
    char32_t first, last, lower;
  };
  static constexpr auto young = std::to_array<Range>({
      {0x1C89, 0x1C89, 0x1C8A},
      {0xA7CB, 0xA7CB, 0x264},
      {0xA7CC, 0xA7CC, 0xA7CD},
      {0xA7CE, 0xA7CE, 0xA7CF},
      {0xA7D2, 0xA7D2, 0xA7D3},
      {0xA7D4, 0xA7D4, 0xA7D5},
      {0xA7DA, 0xA7DA, 0xA7DB},
      {0xA7DC, 0xA7DC, 0x19B},
      {0x10D50, 0x10D65, 0x10D70},
      {0x16EA0, 0x16EB8, 0x16EBB},
  });
  for (const Range& range : young) {
    if (code >= range.first && code <= range.last) return range.lower + (code - range.first);
  }
  return static_cast<char32_t>(u_tolower(static_cast<UChar32>(code)));
}

/// Combining marks of Unicode 9.0, as in `tokenizers`.
bool is_accent(char32_t code) {
  const auto c = static_cast<UChar32>(code);
  if (c == 0x1CF2 || c == 0x1CF3) return true;  // were marks then
  if (c == 0x111C9 || (U_GET_GC_MASK(c) & U_GC_M_MASK) == 0) return false;
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] <= 9;
}

class Lowercase final : public Normalizer {
 public:
  void apply(NormalizedText& text) const override {
    constexpr char32_t kCapitalIWithDot = 0x130;  // the only one whose small form is two characters
    std::string lower;
    lower.reserve(text.text.size());
    for (std::size_t at = 0; at < text.text.size();) {
      const Utf8Char c = utf8_at(text.text, at);
      at += c.length;
      if (c.code == kCapitalIWithDot) {
        lower += "i\xCC\x87";
      } else {
        append_utf8(lower, lower_of(c.code));
      }
    }
    text.text = std::move(lower);
  }
};

class Prepend final : public Normalizer {
 public:
  Prepend(std::string prefix, std::string origin) : prefix_(std::move(prefix)), origin_(std::move(origin)) {}
  void apply(NormalizedText& text) const override {
    if (text.text.empty()) return;
    text.budget.spend(prefix_.size(), origin_);
    text.text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
  std::string origin_;
};

class Replace final : public Normalizer {
 public:
  Replace(std::unique_ptr<const Pattern> pattern, std::string content, std::string origin)
      : pattern_(std::move(pattern)), content_(std::move(content)), origin_(std::move(origin)) {}

  void apply(NormalizedText& text) const override {
    if (text.text.empty()) return;
    std::string replaced;
    replaced.reserve(text.text.size());
    pattern_->for_each_part(text.text, [&](Pattern::Part part) {
      if (!part.is_match) {
        replaced += std::string_view(text.text).substr(part.begin, part.end - part.begin);
        return;
      }
      // What replaces several characters counts as coming from the last of them.
      if (part.begin == 0 && part.end > 0 && (content_.empty() || utf8_at(text.text, 0).length < part.end))
        text.at_start = false;
      text.budget.spend(content_.size(), origin_);
      replaced += content_;
    });
    text.text = std::move(replaced);
  }

 private:
  std::unique_ptr<const Pattern> pattern_;
  std::string content_;
  std::string origin_;
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void apply(NormalizedText& text) const override {
    const std::string_view all = text.text;
    std::size_t begin = 0;
    std::size_t end = all.size();
    while (left_ && begin < end && is_space(all, begin)) begin += utf8_at(all, begin).length;
    while (right_ && begin < end && is_space(all, utf8_before(all, end))) end = utf8_before(all, end);
    if (begin > 0) text.at_start = false;
    text.text = std::string(all.substr(begin, end - begin));
  }

 private:
  static bool is_space(std::string_view text, std::size_t at) {
    return CharTable::get().is(utf8_at(text, at).code, CharKind::space);
  }

  bool left_, right_;
};

class StripAccents final : public Normalizer {
 public:
  void apply(NormalizedText& text) const override {
    std::string kept;
    kept.reserve(text.text.size());
    for (std::size_t at = 0; at < text.text.size();) {
      const Utf8Char c = utf8_at(text.text, at);
      const bool is_mark = is_accent(c.code);
      if (is_mark && at == 0) text.at_start = false;
      if (!is_mark) kept.append(text.text, at, c.length);
      at += c.length;
    }
    text.text = std::move(kept);
  }
};

}  // namespace

std::unique_ptr<const Normalizer> unicode_normalizer(UnicodeForm form) { return std::make_unique<UnicodeNormalizer>(form); }
std::unique_ptr<const Normalizer> lowercase_normalizer() { return std::make_unique<Lowercase>(); }
std::unique_ptr<const Normalizer> prepend_normalizer(std::string prefix, std::string origin) {
  return std::make_unique<Prepend>(std::move(prefix), std::move(origin));
}
std::unique_ptr<const Normalizer> replace_normalizer(std::unique_ptr<const Pattern> pattern, std::string content,
                                                     std::string origin) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content), std::move(origin));
}
std::unique_ptr<const Normalizer> strip_normalizer(bool left, bool right) { return std::make_unique<Strip>(left, right); }
std::unique_ptr<const Normalizer> strip_accents_normalizer() { return std::make_unique<StripAccents>(); }

}  // namespace ffmem::tokenization
