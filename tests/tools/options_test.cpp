// The readers of small command-line languages, and the text they make.
#include "tools/options.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/loaders/thrown.hpp"
#include "tools/edit_text.hpp"
#include "tools/json_text.hpp"
#include "tools/stop_strings.hpp"
#include "tools/token_text.hpp"

using namespace ffmem;
using namespace ffmem::tools;

TEST_CASE("parse_token_ids: spaces, commas and line ends separate, anything else is an error") {
  using Ids = std::vector<TokenId>;
  CHECK(parse_token_ids("1,2 3\n4\t , 5\r\n") == Ids{1, 2, 3, 4, 5});
  CHECK(parse_token_ids("").empty());
  CHECK(parse_token_ids("-1") == Ids{-1});
  for (const char* bad : {"1;2", "1.5", "0x10", "99999999999", "1 a"}) CHECK_THROWS_AS(parse_token_ids(bad), UsageError);
}

TEST_CASE("parse_weight_mode: the four names and no other") {
  CHECK(parse_weight_mode("f32") == WeightMode::f32);
  CHECK(parse_weight_mode("int4") == WeightMode::int4);
  for (const char* bad : {"", "BF16", "fp16", "int"}) CHECK_THROWS_AS(parse_weight_mode(bad), UsageError);
}

TEST_CASE("parse_layer_range: half-open, either side may be empty, a single number is one layer") {
  const auto range = [](const char* text) {
    const IndexRange r = parse_layer_range(text, 12);
    return std::pair(r.begin, r.end);
  };
  CHECK(range(":") == std::pair<std::size_t, std::size_t>(0, 12));
  CHECK(range("3") == std::pair<std::size_t, std::size_t>(3, 4));
  CHECK(range("3:") == std::pair<std::size_t, std::size_t>(3, 12));
  CHECK(range(":3") == std::pair<std::size_t, std::size_t>(0, 3));
  CHECK(range("2:12") == std::pair<std::size_t, std::size_t>(2, 12));
  for (const char* outside : {"12", "3:3", "4:3", "0:13", "12:"}) {
    CHECK(thrown([&] { range(outside); }).code() == ErrorCode::layer_out_of_range);
  }
  for (const char* bad : {"", "a", "1:b", "1:2:3", "-1"}) CHECK_THROWS_AS(range(bad), UsageError);
}

TEST_CASE("parse_points: comma separated, repeated, all") {
  CHECK(parse_points({"ffn_in,ffn_out", "logits"}) == std::set{Point::ffn_in, Point::ffn_out, Point::logits});
  CHECK(parse_points({"all"}).size() == kNumPoints);
  CHECK_THROWS_AS(parse_points({"ffn_in,,ffn_out"}), UsageError);
}

TEST_CASE("parse_edit: every form, with and without a position") {
  const EditText set = parse_edit(Edit::Kind::set, "coefficients:3:17=-2.5@4");
  CHECK(set.edit.point == Point::coefficients);
  CHECK(set.edit.layer == 3);
  CHECK(set.edit.unit == 17);
  CHECK(set.edit.amount == -2.5F);
  CHECK(set.edit.position == 4);
  CHECK(parse_edit(Edit::Kind::set, "coefficients:3:17@4=1").edit.position == 4);
  CHECK(!parse_edit(Edit::Kind::scale, "logits:17=1e3").edit.position);
  CHECK(!parse_edit(Edit::Kind::zero, "ffn_out:3").edit.unit);
  CHECK(parse_edit(Edit::Kind::zero, "ffn_out:3:5@7").edit.unit == 5);
  CHECK(!parse_edit(Edit::Kind::zero, "final_hidden").edit.unit);

  const EditText patch = parse_edit(Edit::Kind::patch, "ffn_out:3@7=a=b@1:c");
  CHECK(patch.file == "a=b@1:c");
  CHECK(patch.tensor == "ffn_out.3");
  CHECK(patch.edit.position == 7);

  const EditText add = parse_edit(Edit::Kind::add, "ffn_out:3=dir@2:x/file:v*-0.5@7");
  CHECK(add.file == "dir@2:x/file");
  CHECK(add.tensor == "v");
  CHECK(add.edit.amount == -0.5F);
  CHECK(add.edit.position == 7);
  CHECK(parse_edit(Edit::Kind::add, "logits=f:v").edit.amount == 1.0F);
}

TEST_CASE("parse_edit: what does not fit the form is refused") {
  for (const char* bad :
       {"", "=", "coefficients=1", "coefficients:1=1", "coefficients:1:2:3=1", "coefficients:1:2=", "nowhere:1:2=1",
        "coefficients:1:2=1@", "coefficients:1:2=1@-1", "coefficients:1:2@3=1@3", "coefficients:x:2=1"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_edit(Edit::Kind::set, bad), UsageError);
  }
  CHECK_THROWS_AS(parse_edit(Edit::Kind::zero, "ffn_out:1=0"), UsageError);
  CHECK_THROWS_AS(parse_edit(Edit::Kind::zero, "ffn_out"), UsageError);
  CHECK_THROWS_AS(parse_edit(Edit::Kind::patch, "ffn_out:1="), UsageError);
  CHECK_THROWS_AS(parse_edit(Edit::Kind::add, "ffn_out:1:2=f:v"), UsageError);
  CHECK_THROWS_AS(parse_edit(Edit::Kind::add, "ffn_out:1=f:"), UsageError);
}

TEST_CASE("StopStrings: the text ends at the first stop string, however it is cut into pieces") {
  const std::string text = "one two END three";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    StopStrings stops({"zzz", "END", " EN?", ""});
    std::string shown;
    for (std::size_t at = 0; at < text.size(); at += piece) shown += stops.push(std::string_view(text).substr(at, piece));
    shown += stops.finish();
    CHECK(stops.found());
    CHECK(shown == "one two ");
  }
}

TEST_CASE("StopStrings: what only began like a stop string comes out after all") {
  StopStrings stops({"abcd"});
  CHECK(stops.push("xabc") == "x");
  CHECK(stops.push("abc") == "abc");
  CHECK(stops.push("!") == "abc!");
  CHECK(stops.push("ab") == "");
  CHECK(stops.finish() == "ab");
  CHECK(!stops.found());
}

TEST_CASE("StopStrings: the earliest of two, and a longer one that began before") {
  StopStrings both({"bc", "abcx"});
  CHECK(both.push("..abc") == "..a");
  CHECK(both.found());
}

TEST_CASE("StopStrings: of strings that overlap the one that is complete first ends the text, whatever the pieces") {
  const auto shown = [](const std::string& text, const std::vector<std::string>& strings, std::size_t cuts) {
    StopStrings stops(strings);
    std::string result;
    for (std::size_t at = 0, end = 0; at < text.size(); at = end) {
      for (end = at + 1; end < text.size() && (cuts >> (end - 1) & 1) == 0;) ++end;
      result += stops.push(std::string_view(text).substr(at, end - at));
    }
    CHECK(stops.found());
    return result;
  };
  const std::string text = "xabcabcdbcd";
  for (std::size_t cuts = 0; cuts < std::size_t{1} << (text.size() - 1); ++cuts) {
    CHECK(shown(text, {"abcd", "bc"}, cuts) == "xa");
    CHECK(shown(text, {"bcabcdb", "abca", "cabcd"}, cuts) == "x");
    CHECK(shown(text, {"cd", "bcd", "abcdb"}, cuts) == "xabca");  // "cd" and "bcd" are complete together
  }
}

TEST_CASE("to_json: escapes, numbers that are none, and arrays") {
  CHECK(to_json("a\"\\\n\t\x01z").text == R"("a\"\\\n\t\u0001z")");
  CHECK(to_json("\xE4x").text == "\"\uFFFDx\"");
  CHECK(to_json(0.1F).text == "0.1");
  CHECK(to_json(std::nan("")).text == "null");
  CHECK(to_json(std::numeric_limits<double>::infinity()).text == "null");
  CHECK(to_json(std::vector<int>{1, 2}).text == "[1, 2]");
  CHECK(to_json(std::vector<std::string>{}).text == "[]");
  CHECK(JsonObject().add("a", true).add("b", std::optional<int>()).line() == "{\"a\": true, \"b\": null}\n");
}

TEST_CASE("visible_text: spaces, line ends, controls and stray bytes show") {
  CHECK(visible_text(" a\n\t") == "\u2423a\\n\\t");
  CHECK(visible_text("\xE2\x82") == "\\xE2\\x82");
  CHECK(visible_text("\u00e9\u0085\x7F") == "\u00e9\\xC2\\x85\\x7F");
  // What is blank or has no width: a zero-width space, an override of direction, separators, a no-break space, a wide one.
  CHECK(visible_text("\u200B") == "\\xE2\\x80\\x8B");
  CHECK(visible_text("a\u202E") == "a\\xE2\\x80\\xAE");
  CHECK(visible_text("\u2028\u2029") == "\\xE2\\x80\\xA8\\xE2\\x80\\xA9");
  CHECK(visible_text("\u00A0\u3000") == "\\xC2\\xA0\\xE3\\x80\\x80");
  CHECK(visible_text("\u0301\u4E2D\U0001F600") == "\u0301\u4E2D\U0001F600");
  CHECK(visible_token(nullptr, 17) == "#17");
  CHECK(visible_token(nullptr, 1234567, 5) == "#123\u2026");
  CHECK(visible_token(nullptr, 1234, 5) == "#1234");
}
