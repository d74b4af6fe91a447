#include "ops/error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <locale>
#include <string>

#include "ops/version.hpp"

using namespace ffmem;

namespace {

std::string message_of(const std::string& text) { return Error(ErrorCode::argument_invalid, text).what(); }

}  // namespace

TEST_CASE("concat: numbers are those of C, whatever locale the program has set") {
  struct Grouping : std::numpunct<char> {
    char do_thousands_sep() const override { return ','; }
    char do_decimal_point() const override { return ';'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  const std::string text = concat(1234567, " ", 0.5);
  std::locale::global(before);
  CHECK(text == "1234567 0.5");
}

TEST_CASE("an error's message is one line without control characters, whatever a file brought into it") {
  CHECK(message_of("config.json: model_type: \"gpt\x1b[2J\n\x7f\"") == "config.json: model_type: \"gpt\\x1B[2J\\x0A\\x7F\"");
  CHECK(message_of("a\xC2\x9B"
                   "b \xC3\xA9 \xE4\xBD\xA0\xC2\xA0.") ==
        "a\\x9B"
        "b \xC3\xA9 \xE4\xBD\xA0\xC2\xA0.");
  CHECK(message_of("ends in \xC2") == "ends in \xC2");
}

TEST_CASE("an error's message that a file made long keeps its beginning and its end") {
  const std::string long_name(100'000, 'n');
  const std::string message = message_of("file.json: \"" + long_name + "\": expected a name");
  CHECK(message.size() < 4000);
  CHECK(message.starts_with("file.json: \"nnn"));
  CHECK(message.ends_with("nnn\": expected a name"));
  std::string accents;
  for (int i = 0; i < 5000; ++i) accents += "\xC3\xA9";
  for (const char* before : {"", "x"}) {
    const std::string cut = message_of(before + accents);
    CHECK(cut.find("\xC3\xA9 ... \xC3\xA9") != std::string::npos);
  }
}

TEST_CASE("name: an error code's is its own, from the first to the last") {
  CHECK(name(ErrorCode::file_not_found) == "file_not_found");
  CHECK(name(ErrorCode::tensor_offsets_invalid) == "tensor_offsets_invalid");
  CHECK(name(ErrorCode::interrupted) == "interrupted");
}

TEST_CASE("version: three numbers") {
  const std::string text(version());
  CHECK(text.find_first_not_of("0123456789.") == std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '.') == 2);
}
