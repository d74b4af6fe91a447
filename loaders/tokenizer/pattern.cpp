#include "loaders/tokenizer/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "loaders/tokenizer/gpt2_scanner.hpp"
#include "loaders/tokenizer/oniguruma.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {

const std::string_view kGpt2Regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

namespace {

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string text) : text_(std::move(text)) {}

  void for_each_part(std::string_view text, Visit visit) const override {
    std::size_t begin = 0;
    for (std::size_t found; (found = text.find(text_, begin)) != std::string_view::npos; begin = found + text_.size()) {
      if (found > begin) visit({begin, found, false});
      visit({found, found + text_.size(), true});
    }
    if (begin < text.size()) visit({begin, text.size(), false});
  }

 private:
  std::string text_;
};

class Gpt2Pattern final : public Pattern {
 public:
  void for_each_part(std::string_view text, Visit visit) const override {
    Gpt2Scanner scanner(text);
    for (std::size_t begin = 0; !scanner.done();) {
      const std::size_t end = begin + scanner.next().size();
      visit({begin, end, true});
      begin = end;
    }
  }
};

template <auto release>
struct Pcre2Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    release(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Pcre2Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Pcre2Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Pcre2Deleter<pcre2_match_context_free>>;

/// What PCRE2 made; null where memory ended.
template <class T>
T* made(T* object) {
  if (object == nullptr) throw std::bad_alloc();
  return object;
}

// What one search may cost: enough for any honest pattern, whatever the text. A text takes as many searches as it has matches.
constexpr std::uint32_t kHeapLimitKibibytes = 512 * 1024;
constexpr std::size_t kBaseSteps = 1'000'000;
constexpr std::size_t kStepsPerByte = 64;

// What makes a word of it may be a thousand times as long.
constexpr std::size_t kLongestRegex = std::size_t{16} << 10;

std::string pcre2_text(int error) {
  std::array<PCRE2_UCHAR, 200> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

class RegexPattern final : public Pattern {
 public:
  RegexPattern(std::string_view regex, const std::string& origin)
      : origin_(concat(origin, ": regular expression ", shown_text(regex))) {
    const std::string translated = pcre2_from_oniguruma(regex, origin);
    int error = 0;
    std::size_t offset = 0;
    constexpr std::uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE | PCRE2_DUPNAMES;
    const std::unique_ptr<pcre2_compile_context, Pcre2Deleter<pcre2_compile_context_free>> context(
        made(pcre2_compile_context_create(nullptr)));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error, &offset,
                              context.get()));
    if (!code_) fail(ErrorCode::tokenizer_unsupported, origin_, ": PCRE2 refuses it: ", pcre2_text(error));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without JIT it runs all the same
  }

  void for_each_part(std::string_view text, Visit visit) const override {
    Search search(*this, text);
    std::size_t done = 0;  // the parts up to here are out
    std::size_t from = 0;
    bool matched = false;
    while (from <= text.size() && search.find(from)) {
      const auto [begin, end] = search.match();
      if (begin == end && matched && end == done) {  // no empty match right behind another one
        from += from < text.size() ? utf8_at(text, from).length : 1;
        continue;
      }
      if (begin > done) visit({done, begin, false});
      visit({begin, end, true});
      matched = true;
      done = from = end;
    }
    if (done < text.size()) visit({done, text.size(), false});
  }

 private:
  class Search {
   public:
    Search(const RegexPattern& pattern, std::string_view text)
        : pattern_(pattern),
          text_(text),
          data_(made(pcre2_match_data_create(1, nullptr))),
          context_(made(pcre2_match_context_create(nullptr))) {
      const std::size_t steps = kBaseSteps + kStepsPerByte * text.size();
      pcre2_set_match_limit(context_.get(), static_cast<std::uint32_t>(std::min<std::size_t>(steps, UINT32_MAX)));
      pcre2_set_heap_limit(context_.get(), kHeapLimitKibibytes);
    }

    bool find(std::size_t from) {
      int result = run(from, 0);
      if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(from, PCRE2_NO_JIT);
      if (result == PCRE2_ERROR_NOMATCH) return false;
      if (result < 0) fail(ErrorCode::tokenizer_unsupported, pattern_.origin_, ": on this text: ", pcre2_text(result));
      return true;
    }

    std::pair<std::size_t, std::size_t> match() const {
      const std::size_t* offsets = pcre2_get_ovector_pointer(data_.get());
      return {offsets[0], offsets[1]};
    }

   private:
    int run(std::size_t from, std::uint32_t options) {
      return pcre2_match(pattern_.code_.get(), reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), from,
                         options | PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
    }

    const RegexPattern& pattern_;
    std::string_view text_;
    MatchData data_;
    MatchContext context_;
  };

  std::string origin_;
  Code code_;
};

}  // namespace

std::unique_ptr<const Pattern> literal_pattern(std::string text) { return std::make_unique<LiteralPattern>(std::move(text)); }

std::unique_ptr<const Pattern> regex_pattern(std::string_view regex, const std::string& origin) {
  if (regex.size() > kLongestRegex) {
    fail(ErrorCode::tokenizer_unsupported, origin, ": regular expression: expected at most ", kLongestRegex, " bytes, found ",
         regex.size());
  }
  if (regex == kGpt2Regex) return std::make_unique<Gpt2Pattern>();
  return std::make_unique<RegexPattern>(regex, origin);
}

}  // namespace ffmem::tokenization
