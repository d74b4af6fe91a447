#include "tools/option_checks.hpp"

#include <CLI/CLI.hpp>
#include <limits>
#include <optional>

#include "ops/error.hpp"
#include "tools/numbers.hpp"

namespace ffmem::tools {
namespace {

/// "at least 1", or "1 to 100" where there is an upper end.
template <class T>
std::string range_text(T least, T most) {
  return most == std::numeric_limits<T>::max() ? concat("at least ", least) : concat(least, " to ", most);
}

/// Whether the whole text is a number of the range; nan is in none.
template <class T>
bool is_in_range(const std::string& text, T least, T most) {
  const std::optional<T> value = to_number<T>(text);
  return value && *value >= least && *value <= most;
}

}  // namespace

CLI::Option* check_count(CLI::Option* option, std::size_t least, std::size_t most) {
  const auto complaint = [least, most](const std::string& text) {
    // The parser behind takes a number that begins with 0 for an octal one.
    const bool is_plain = text.size() == 1 || !text.starts_with('0');
    if (is_plain && is_in_range(text, least, most)) return std::string();
    return concat("expected a whole number, ", range_text(least, most), ", found '", text, "'");
  };
  return option->check(CLI::Validator(complaint, ""));
}

CLI::Option* check_number(CLI::Option* option, double least, double most) {
  const auto complaint = [least, most](const std::string& text) {
    if (is_in_range(text, least, most)) return std::string();
    return concat("expected a number, ", range_text(least, most), ", found '", text, "'");
  };
  return option->check(CLI::Validator(complaint, ""));
}

CLI::Option* check_word(CLI::Option* option, const std::vector<std::string>& words) {
  return option->check(CLI::IsMember(words).description(""))->type_name(CLI::detail::join(words, "|"));
}

}  // namespace ffmem::tools
