#include "loaders/tokenizer/oniguruma.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "loaders/tokenizer/new_characters.hpp"
#include "loaders/tokenizer/regex_char_set.hpp"
#include "loaders/tokenizer/regex_reader.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

constexpr int kMaxClassDepth = 20;

class Translator : private RegexReader {
 public:
  Translator(std::string_view regex, const std::string& origin) : RegexReader(regex, origin) {}

  std::string run() {
    while (!at_end()) element();
    if (!open_groups_.empty()) invalid("a ')' for every '('");
    return std::move(out_);
  }

 private:
  struct Group {
    std::size_t out_begin;
    bool ignored_case;  // what holds again behind the group
  };

  void atom(std::string_view text) {
    atom_begin_ = out_.size();
    out_ += text;
    previous_letter_ = 0;
  }

  void literal_atom(char32_t c) {
    const char32_t letter = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    if (ignores_case_) refuse_unequal_folding(letter);
    atom(regex_literal(c));
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
    append_utf8(out_, take_char());
    if (next_is("?") || next_is("+")) append_utf8(out_, take_char());
  }

  /// {n}, {n,}, {,m} or {n,m}. Anything else that starts with a brace is text.
  bool interval() {
    const std::size_t begin = at();
    take("{");
    const std::string least = take_digits();
    const bool has_comma = take(",");
    const std::string most = has_comma ? take_digits() : least;
    if (!take("}") || (least.empty() && most.empty())) {
      go_to(begin);
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
    if (at() == 1 && take("?i)")) {
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
    literal_atom(take_escaped_char());
  }

  /// \s, \p{..} and the like as an expression for one character.
  std::optional<std::string> set_escape() {
    bool complement = false;
    const auto set = named_set(complement, false);
    if (!set) return std::nullopt;
    const std::string expression = set->expression(complement);
    return ignores_case_ ? "(?-i:" + expression + ")" : expression;
  }

  /// \s, \d, \w, \h, \p{..} and their complements, after the backslash.
  std::optional<RegexCharSet> named_set(bool& complement, bool in_class) {
    complement = next_is("S") || next_is("D") || next_is("W") || next_is("H") || next_is("P");
    if (take("s") || take("S")) return space_set();
    if (take("d") || take("D")) return property_set("Nd");
    if (take("w") || take("W")) return word_set(in_class);
    if (take("h") || take("H")) return hex_digit_set();
    if (take("p") || take("P")) return braced_property(complement, in_class);
    return std::nullopt;
  }

  RegexCharSet braced_property(bool& complement, bool in_class) {
    if (!take("{")) invalid("'{' after \\p");
    if (take("^")) complement = !complement;
    const std::size_t length = rest().find('}');
    if (length == std::string_view::npos) invalid("'}' after the property's name");
    const std::string_view name = rest().substr(0, length);
    if (!is_general_category(name)) unsupported(concat("the property ", name));
    const bool has_other_case = name == "Lu" || name == "Ll" || name == "Lt" || name == "M" || name == "Mn";
    if (in_class && ignores_case_ && has_other_case) unsupported(concat("\\p{", name, "} in a class where case is ignored"));
    go_to(at() + length + 1);
    return property_set(name);
  }

  /// After the '['. Nested classes join the set.
  std::string char_class(int depth) {
    const bool complement = take("^");
    return class_members(depth).expression(complement);
  }

  RegexCharSet class_members(int depth) {
    if (depth > kMaxClassDepth) unsupported("classes nested that deep");
    if (next_is("]")) unsupported("']' as a class's first member");
    RegexCharSet set;
    while (!take("]")) {
      if (at_end()) invalid("a ']' for every '['");
      if (next_is("[:") || next_is("&&")) unsupported(next_is("&&") ? "'&&'" : "'[:'");
      if (take("[")) {
        if (take("^")) {
          if (ignores_case_) unsupported("a complemented class in a class where case is ignored");
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
  void class_member(RegexCharSet& set) {
    const std::size_t begin = at();
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
      go_to(begin);
    }
    const char32_t first = class_char();
    if (ignores_case_ && first >= 0x80) unsupported("this class where case is ignored");
    const bool is_range = next_is("-") && !next_is("-]") && rest().size() > 1;
    if (!is_range) {
      set.items += regex_literal(first);
      return;
    }
    take("-");
    if (next_is("[")) unsupported("a class as the end of a range");
    const char32_t last = class_char();
    if (last < first) invalid("a range that ends behind its start");
    set.items += regex_literal(first) + "-" + regex_literal(last);
  }

  char32_t class_char() {
    if (!take("\\")) return take_char();
    if (take("b")) return '\b';
    return take_escaped_char();
  }

  std::string out_;
  std::optional<std::size_t> atom_begin_;  // in out_: what a quantifier would repeat
  std::vector<Group> open_groups_;
  bool ignores_case_ = false;
  char32_t previous_letter_ = 0;  // small, of the atom before if that is a character
};

}  // namespace

std::string pcre2_from_oniguruma(std::string_view regex, const std::string& origin) { return Translator(regex, origin).run(); }

}  // namespace ffmem::tokenization
