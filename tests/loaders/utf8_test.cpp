#include "loaders/utf8.hpp"

#include <doctest/doctest.h>

#include <string>

namespace ffmem {
namespace {

TEST_CASE("utf8: every maximal invalid part becomes one replacement character") {
  const std::string r(kReplacementCharacter);
  CHECK(repair_utf8("\xFF\xFE") == r + r);
  CHECK(repair_utf8("a\xE4\xB8z") == "a" + r + "z");
  CHECK(repair_utf8("\xE4\xB8") == r);
  CHECK(repair_utf8("\xF0\x9F\x98") == r);
  CHECK(repair_utf8("\xF0\x9F\x98\x80") == "\xF0\x9F\x98\x80");
  CHECK(repair_utf8("\xC0\xAF") == r + r);                  // overlong
  CHECK(repair_utf8("\xED\xA0\x80") == r + r + r);          // a surrogate
  CHECK(repair_utf8("\xF4\x90\x80\x80") == r + r + r + r);  // beyond U+10FFFF
  CHECK(repair_utf8("\xE0\x80x") == r + r + "x");
  CHECK(repair_utf8(std::string(16, 'a') + "\x80" + std::string(16, 'b')) == std::string(16, 'a') + r + std::string(16, 'b'));
}

TEST_CASE("utf8: what a message shows of a text is valid and of bounded length") {
  const std::string r(kReplacementCharacter);
  CHECK(shown_text("") == "");
  CHECK(shown_text("a\xFFz") == "a" + r + "z");
  CHECK(shown_text(std::string(120, 'a')) == std::string(120, 'a'));
  CHECK(shown_text(std::string(1'000'000, 'a')) == std::string(120, 'a') + "...");
  CHECK(shown_text("\xE4\xB8\xAD\xE4\xB8\xAD", 4) == "\xE4\xB8\xAD" + r + "...");
}

TEST_CASE("utf8: every character is written and read back") {
  for (char32_t code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 97) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(text, code);
    CHECK(utf8_at(text, 0).code == code);
    CHECK(utf8_at(text, 0).length == text.size());
    CHECK(valid_utf8_prefix(text) == text.size());
    CHECK(utf8_before(text, text.size()) == 0);
  }
}

}  // namespace
}  // namespace ffmem
