#include "tools/strip.hpp"

#include <doctest/doctest.h>

using namespace ffmem::tools;

TEST_CASE("stripped_as_in_python: white space of every kind goes, at both ends only") {
  CHECK(stripped_as_in_python("\u3000\u00A0\u0085\t\x1C a\u2003b \x1F\u2028\r\v\f") == "a\u2003b");
  CHECK(stripped_as_in_python("\u200B\uFEFF") == "\u200B\uFEFF");
  CHECK(stripped_as_in_python("\u00E9") == "\u00E9");
  CHECK(stripped_as_in_python(" \x1D\x1E\u1680\u202F\u205F") == "");
  CHECK(stripped_as_in_python("") == "");
  CHECK(stripped_as_in_python(" \x80 \xE3\x80 ") == "\x80 \xE3\x80");  // no characters
  CHECK(stripped_as_in_python("a \x80\x80\x80\x80") == "a \x80\x80\x80\x80");
}
