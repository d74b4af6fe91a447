#include "loaders/tokenizer/oniguruma.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <vector>

#include "loaders/tokenizer/new_characters.hpp"
#include "loaders/tokenizer/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

constexpr std::string_view kSpaceItems =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kHexDigitItems = "0-9a-fA-F";
constexpr int kMaxClassDepth = 20;

bool is_ascii_alphanumeric(char32_t c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The character, safe in and out of a class.
std::string literal(char32_t c) {
  if (is_ascii_alphanumeric(c)) return {static_cast<char>(c)};
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "\\x{%x}", static_cast<unsigned>(c));
  return text.data();
}

/// A set of characters: the union of class items and of other sets. Complements cannot be class items where a property is made
/// of several, hence the second part.
struct CharSet {
  std::string items;                 // what stands between [ and ]
  std::vector<std::string> members;  // expressions for one character each

  void add(const CharSet& other) {
    items += other.items;
    members.insert(members.end(), other.members.begin(), other.members.end());
  }

  /// As an expression for one character.
  std::string expression(bool complement) const {
    if (members.empty()) return (complement ? "[^" : "[") + items + "]";
    std::string any = items.empty() ? "" : "[" + items + "]";
    for (const std::string& member : members) any += (any.empty() ? "" : "|") + member;
    return complement ? "(?:(?!" + any + ")(?s:.))" : "(?:" + any + ")";
  }
};

class Translator {
 public:
  Translator(std::string_view regex, const std::string& origin) : regex_(regex), origin_(origin) {}

  std::string run() {
    while (at_ < regex_.size()) element();
    if (!open_groups_.empty()) invalid("a ')' for every '('");
    return std::move(out_);
  }

 private:
  struct Group {
    std::size_t out_begin;
    bool ignored_case;  // what holds again behind the group
  };

  bool at_end() const noexcept { return at_ == regex_.size(); }
  bool next_is(std::string_view text) const noexcept { return regex_.substr(at_).starts_with(text); }
  bool take(std::string_view text) noexcept {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take_char() {
    if (at_end()) invalid("more after the last character");
    const Utf8Char c = utf8_at(regex_, at_);
    at_ += c.length;
    return c.code;
  }

  [[noreturn]] void invalid(std::string_view expected) const {
    fail(ErrorCode::tokenizer_invalid, origin_, ": regular expression ", regex_, ": at byte ", at_, ": expected ", expected);
  }
  [[noreturn]] void unsupported(std::string_view what) const {
    fail(ErrorCode::tokenizer_unsupported, origin_, ": regular expression ", regex_, ": at byte ", at_,
         ": this program does not implement ", what);
  }

  void atom(std::string_view text) {
    atom_begin_ = out_.size();
    out_ += text;
    previous_letter_ = 0;
  }

  void literal_atom(char32_t c) {
    const char32_t letter = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    if (ignores_case_) refuse_unequal_folding(letter);
    atom(literal(c));
    previous_letter_ = letter;
  }

  /// Where case is ignored, Oniguruma takes some characters for two or three others ("ß" for "ss"); PCRE2 does not.
  void refuse_unequal_folding(char32_t letter) const {
    constexpr std::array<std::string_view, 5> kFolded = {"ff", "fi", "fl", "ss", "st"};
    const auto is_folded = [&](std::string_view pair) {
      return previous_letter_ == static_cast<char32_t>(pair[0]) && letter == static_cast<char32_t>(pair[1]);
    };
    if (letter >= 0x80 || std::any_of(kFolded.begin(), kFolded.end(), is_folded))
      unsupported("this text where case is ignored");
  }

  void element() {
    if (take("\\")) return escape();
    if (take("[")) return atom(char_class(0));
    if (take("(")) return open_group();
    if (take(")")) return close_group();
    if (take("|")) {
      out_ += '|';
      atom_begin_.reset();
      previous_letter_ = 0;
      return;
    }
    if (take("^")) return atom("^");
    if (take("$")) return atom("$");
    if (take(".")) return atom(".");
    if (next_is("*") || next_is("+") || next_is("?")) return repeat();
    if (next_is("{") && interval()) return;
    literal_atom(take_char());
  }

  void repeat() {
    if (!atom_begin_) invalid("something to repeat");
    out_ += regex_[at_++];
    if (next_is("?") || next_is("+")) out_ += regex_[at_++];
  }

  std::string digits() {
    const std::size_t begin = at_;
    while (!at_end() && regex_[at_] >= '0' && regex_[at_] <= '9') ++at_;
    return std::string(regex_.substr(begin, at_ - begin));
  }

  /// {n}, {n,}, {,m} or {n,m}. Anything else that starts with a brace is text.
  bool interval() {
    const std::size_t begin = at_++;
    const std::string least = digits();
    const bool has_comma = take(",");
    const std::string most = has_comma ? digits() : least;
    if (!take("}") || (least.empty() && most.empty())) {
      at_ = begin;
      return false;
    }
    if (!atom_begin_) invalid("something to repeat");
    if (!has_comma && next_is("?")) unsupported("'{n}?'");
    out_ += "{" + (least.empty() ? "0" : least) + (has_comma ? "," + most : "") + "}";
    if (take("?")) {
      out_ += '?';
    } else if (take("+")) {
      out_.insert(*atom_begin_, "(?:");
      out_ += ")+";
    }
    return true;
  }

  void open_group() {
    open_groups_.push_back({out_.size(), ignores_case_});
    atom_begin_.reset();
    previous_letter_ = 0;
    if (!next_is("?")) {
      if (next_is("*")) unsupported("'(*'");
      out_ += "(?:";  // captures have no use here
      return;
    }
    for (const std::string_view kind : {"?:", "?>", "?i:", "?-i:", "?=", "?!", "?<=", "?<!"}) {
      if (!take(kind)) continue;
      out_ += '(';
      out_ += kind;
      if (kind == "?i:") ignores_case_ = true;
      if (kind == "?-i:") ignores_case_ = false;
      return;
    }
    if (at_ == 1 && take("?i)")) {
      open_groups_.pop_back();
      out_ += "(?i)";
      ignores_case_ = true;
      return;
    }
    unsupported("this kind of group");
  }

  void close_group() {
    if (open_groups_.empty()) invalid("a '(' for every ')'");
    out_ += ')';
    atom_begin_ = open_groups_.back().out_begin;
    ignores_case_ = open_groups_.back().ignored_case;
    open_groups_.pop_back();
  }

  void escape() {
    if (at_end()) invalid("a character after '\\'");
    if (const auto set = set_escape()) return atom(*set);
    static const std::string word = word_set(false).expression(false);
    if (take("b")) return atom("(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))");
    if (take("B")) return atom("(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
    if (take("A")) return atom("\\A");
    if (take("z")) return atom("\\z");
    if (take("Z")) return atom("(?=\\n?\\z)");
    literal_atom(char_escape());
  }

  /// \s, \p{..} and the like as an expression for one character.
  std::optional<std::string> set_escape() {
    bool complement = false;
    const auto set = named_set(complement, false);
    if (!set) return std::nullopt;
    const std::string expression = set->expression(complement);
    return ignores_case_ ? "(?-i:" + expression + ")" : expression;
  }

  std::optional<CharSet> named_set(bool& complement, bool in_class) {
    const char kind = regex_[at_];
    complement = kind == 'S' || kind == 'D' || kind == 'W' || kind == 'H' || kind == 'P';
    switch (kind) {
      case 's':
      case 'S':
        ++at_;
        return CharSet{std::string(kSpaceItems), {}};
      case 'd':
      case 'D':
        ++at_;
        return property("Nd");
      case 'w':
      case 'W':
        ++at_;
        return word_set(in_class);
      case 'h':
      case 'H':
        ++at_;
        return CharSet{std::string(kHexDigitItems), {}};
      case 'p':
      case 'P':
        ++at_;
        return braced_property(complement, in_class);
      default:
        return std::nullopt;
    }
  }

  CharSet braced_property(bool& complement, bool in_class) {
    if (!take("{")) invalid("'{' after \\p");
    if (take("^")) complement = !complement;
    const std::size_t end = regex_.find('}', at_);
    if (end == std::string_view::npos) invalid("'}' after the property's name");
    const std::string_view name = regex_.substr(at_, end - at_);
    if (!is_general_category(name)) unsupported(concat("the property ", name));
    const bool has_other_case = name == "Lu" || name == "Ll" || name == "Lt" || name == "M" || name == "Mn";
    if (in_class && ignores_case_ && has_other_case) unsupported(concat("\\p{", name, "} in a class where case is ignored"));
    at_ = end + 1;
    return property(name);
  }

  static CharSet property(std::string_view category) { return {concat("\\p{", category, "}", newer_characters(category)), {}}; }

  /// Outside of classes, Oniguruma counts the digits and fractions of Latin-1 among the word characters.
  static CharSet word_set(bool in_class) {
    CharSet set{in_class ? "\\p{Alphabetic}" : "\\p{Alphabetic}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}", {}};
    for (const std::string_view category : {"L", "M", "Nd", "Nl", "Pc"}) set.add(property(category));
    return set;
  }

  /// A single character written as an escape, after the backslash.
  char32_t char_escape() {
    const char32_t c = take_char();
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'a':
        return '\a';
      case 'e':
        return 0x1B;
      case 'x':
        return take("{") ? hex_code(1, 8, true) : hex_code(1, 2, false);
      case 'u':
        return hex_code(4, 4, false);
      default:
        break;
    }
    if (is_ascii_alphanumeric(c)) unsupported(concat("'\\", static_cast<char>(c), "'"));
    return c;
  }

  char32_t hex_code(std::size_t least, std::size_t most, bool braced) {
    char32_t code = 0;
    std::size_t n_digits = 0;
    while (n_digits < most && !at_end() && hex_value(regex_[at_]) >= 0) {
      code = code << 4 | static_cast<char32_t>(hex_value(regex_[at_++]));
      ++n_digits;
    }
    const bool is_surrogate = code >= 0xD800 && code < 0xE000;
    if (n_digits < least || code > 0x10FFFF || is_surrogate || (braced && !take("}"))) invalid("a code point in hexadecimal");
    if (!braced && code > 0x7F && most == 2) unsupported("bytes above 7F");
    return code;
  }

  /// After the '['. Nested classes join the set.
  std::string char_class(int depth) {
    const bool complement = take("^");
    return class_members(depth).expression(complement);
  }

  CharSet class_members(int depth) {
    if (depth > kMaxClassDepth) unsupported("classes nested that deep");
    if (next_is("]")) unsupported("']' as a class's first member");
    CharSet set;
    while (!take("]")) {
      if (at_end()) invalid("a ']' for every '['");
      if (next_is("[:") || next_is("&&")) unsupported(next_is("&&") ? "'&&'" : "'[:'");
      if (take("[")) {
        if (take("^")) {
          set.members.push_back(class_members(depth + 1).expression(true));
        } else {
          set.add(class_members(depth + 1));
        }
      } else {
        class_member(set);
      }
    }
    return set;
  }

  /// A character, a range of characters, or an escaped set.
  void class_member(CharSet& set) {
    const std::size_t begin = at_;
    if (take("\\")) {
      if (at_end()) invalid("a character after '\\'");
      bool complement = false;
      if (const auto named = named_set(complement, true)) {
        if (complement) {
          set.members.push_back(named->expression(true));
        } else {
          set.add(*named);
        }
        return;
      }
      at_ = begin;
    }
    const char32_t first = class_char();
    if (ignores_case_ && first >= 0x80) unsupported("this class where case is ignored");
    const bool is_range = next_is("-") && !regex_.substr(at_ + 1).starts_with(']') && at_ + 1 < regex_.size();
    if (!is_range) {
      set.items += literal(first);
      return;
    }
    ++at_;
    if (next_is("[")) unsupported("a class as the end of a range");
    const char32_t last = class_char();
    if (last < first) invalid("a range that ends behind its start");
    set.items += literal(first) + "-" + literal(last);
  }

  char32_t class_char() {
    if (!take("\\")) return take_char();
    if (take("b")) return '\b';
    return char_escape();
  }

  std::string_view regex_;
  const std::string& origin_;
  std::size_t at_ = 0;
  std::string out_;
  std::optional<std::size_t> atom_begin_;  // in out_: what a quantifier would repeat
  std::vector<Group> open_groups_;
  bool ignores_case_ = false;
  char32_t previous_letter_ = 0;  // small, of the atom before if that is a character
};

}  // namespace

std::string pcre2_from_oniguruma(std::string_view regex, const std::string& origin) { return Translator(regex, origin).run(); }

}  // namespace ffmem::tokenization
