#include "loaders/json_file.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "loaders/utf8.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using nlohmann::json;

std::string repeat(const std::string& text, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

Error config_error(const char* object, void (*read)(const JsonFields&)) {
  const json parsed = json::parse(object);
  Error error = thrown([&] { read(JsonFields(parsed, "model/config.json")); });
  CHECK(error.code() == ErrorCode::config_invalid);
  CHECK(contains(error.what(), "model/config.json: "));
  return error;
}

}  // namespace

TEST_CASE("read_json_file: a syntax error names file, line and column") {
  const TemporaryFolder folder;
  const auto path = folder.write("config.json", "{\n  \"a\": 1,\n  \"b\": nul\n}");
  const Error error = thrown([&] { read_json_file(path); });
  CHECK(error.code() == ErrorCode::json_invalid);
  CHECK(contains(error.what(), path.string() + ": "));
  CHECK(contains(error.what(), "line 3, column "));
  CHECK_FALSE(contains(error.what(), "json.exception"));
}

TEST_CASE("read_json_file: empty files, cut files and numbers out of range are json_invalid") {
  const TemporaryFolder folder;
  for (const char* text : {"", "  ", "{\"a\": [1, 2", "{\"a\": 1e999}", "{} {}", "{\"a\": \"\xff\"}"}) {
    CAPTURE(text);
    const auto path = folder.write("config.json", text);
    CHECK(thrown([&] { read_json_file(path); }).code() == ErrorCode::json_invalid);
  }
}

TEST_CASE("read_json_file: messages are UTF-8 whatever the file has, also where they are cut") {
  const TemporaryFolder folder;
  for (const std::string& text : {std::string("{\"a\": \"\xC3"), std::string("{\"a\": \"\xFF\"}"),
                                  "{\"a\": \"" + repeat("é", 200), "{\"a\": \"x" + repeat("é", 200)}) {
    CAPTURE(text);
    const auto path = folder.write("config.json", text);
    const std::string message = thrown([&] { read_json_file(path); }).what();
    CAPTURE(message);
    CHECK(valid_utf8_prefix(message) == message.size());
  }
}

TEST_CASE("read_json_file: a file of a terabyte is refused before it is read") {
  const TemporaryFolder folder;
  const auto path = folder.write("config.json", "{}");
  std::filesystem::resize_file(path, std::uintmax_t{1} << 40);  // a hole, which takes no room
  const Error error = thrown([&] { read_json_file(path); });
  CHECK(error.code() == ErrorCode::json_invalid);
  CHECK(contains(error.what(), "expected at most 268435456 bytes"));
}

TEST_CASE("read_json_file: a caller may ask for less than the limit") {
  const TemporaryFolder folder;
  const auto path = folder.write("config.json", "[1, 2]");
  CHECK(read_json_file(path, 6).size() == 2);
  CHECK(contains(thrown([&] { read_json_file(path, 5); }).what(), "config.json: expected at most 5 bytes, found 6"));
}

TEST_CASE("read_json_file: a zero byte does not end the document") {
  const TemporaryFolder folder;
  const auto path = folder.write("config.json", std::string_view("{}\0garbage", 10));
  const Error error = thrown([&] { read_json_file(path); });
  CHECK(error.code() == ErrorCode::json_invalid);
  CHECK(contains(error.what(), "line 1, column 3: expected JSON, found a zero byte"));
}

TEST_CASE("read_json_file: 64 levels are read, one more is refused with its place") {
  const TemporaryFolder folder;
  CHECK(read_json_file(folder.write("a.json", repeat("[", 64) + repeat("]", 64))).is_array());
  const auto path = folder.write("b.json", concat("\n", repeat("[", 65), repeat("]", 65)));
  const Error error = thrown([&] { read_json_file(path); });
  CHECK(error.code() == ErrorCode::json_invalid);
  CHECK(contains(error.what(), "line 2, column 65"));
}

TEST_CASE("read_json_file: a million opening brackets are refused without a deep stack") {
  const TemporaryFolder folder;
  const auto path = folder.write("deep.json", repeat("{\"a\":[", 500000));
  CHECK(thrown([&] { read_json_file(path); }).code() == ErrorCode::json_invalid);
}

TEST_CASE("read_json_file: brackets inside strings, also behind escaped quotes, do not nest") {
  const TemporaryFolder folder;
  const json value = read_json_file(folder.write("a.json", concat(R"({"a": "\")", repeat("[", 100), R"(\\"})")));
  CHECK(value.at("a").get<std::string>().size() == 102);
}

TEST_CASE("JsonFields: present fields are read") {
  const json object = json::parse(R"({"n": 12, "x": 0.5, "whole": 3, "f": true, "t": "gelu", "top": 4294967296})");
  const JsonFields fields(object, "config.json");
  CHECK(fields.size("n") == 12);
  CHECK(fields.size("top") == std::size_t{1} << 32);
  CHECK(fields.number("x") == 0.5F);
  CHECK(fields.number("whole") == 3.0F);
  CHECK(fields.flag("f", false));
  CHECK(fields.text("t") == "gelu");
  CHECK(fields.at("n") == 12);
  CHECK(fields.unread().empty());
}

TEST_CASE("JsonFields: absent and null fields give the default or nothing") {
  const json object = json::parse(R"({"null": null})");
  const JsonFields fields(object, "config.json");
  for (const char* key : {"null", "absent"}) {
    CAPTURE(key);
    CHECK_FALSE(fields.has(key));
    CHECK(fields.size(key, 7) == 7);
    CHECK(fields.number(key, 7.5F) == 7.5F);
    CHECK(fields.flag(key, true));
    CHECK(fields.text(key, "relu") == "relu");
    CHECK(fields.optional_number(key) == std::nullopt);
    CHECK_FALSE(fields.optional_object(key).has_value());
  }
  CHECK(fields.at("null").is_null());
}

TEST_CASE("JsonFields: a present field wins over its default, false and zero too") {
  const json object = json::parse(R"({"n": 0, "x": 0.0, "f": false, "t": ""})");
  const JsonFields fields(object, "config.json");
  CHECK(fields.size("n", 7) == 0);
  CHECK(fields.number("x", 7.0F) == 0.0F);
  CHECK_FALSE(fields.flag("f", true));
  CHECK(fields.text("t", "relu").empty());
}

TEST_CASE("JsonFields: sizes refuse everything but whole numbers from 0 to 2^32") {
  for (const char* object : {R"({"n": -1})", R"({"n": 768.0})", R"({"n": 1e3})", R"({"n": "12"})", R"({"n": true})",
                             R"({"n": [12]})", R"({"n": 4294967297})", R"({"n": 99999999999999999999999})"}) {
    CAPTURE(object);
    const Error error = config_error(object, [](const JsonFields& fields) { fields.size("n", 5); });
    CHECK(contains(error.what(), "n: expected a whole number from 0 to 4294967296, found "));
  }
}

TEST_CASE("JsonFields: required fields refuse null and absence") {
  CHECK(contains(config_error(R"({"n": null})", [](const JsonFields& f) { f.size("n"); }).what(), "found null"));
  CHECK(contains(config_error("{}", [](const JsonFields& f) { f.size("n"); }).what(), "n: expected a whole number"));
  CHECK(contains(config_error("{}", [](const JsonFields& f) { f.number("n"); }).what(), "found no such field"));
  config_error("{}", [](const JsonFields& f) { f.text("n"); });
  config_error("{}", [](const JsonFields& f) { f.at("n"); });
}

TEST_CASE("JsonFields: numbers, flags and texts refuse other types") {
  config_error(R"({"x": "1.0"})", [](const JsonFields& f) { f.number("x"); });
  config_error(R"({"x": true})", [](const JsonFields& f) { f.number("x"); });
  config_error(R"({"x": 1e39})", [](const JsonFields& f) { f.number("x", 1.0F); });
  config_error(R"({"x": 1})", [](const JsonFields& f) { f.flag("x", true); });
  config_error(R"({"x": 1})", [](const JsonFields& f) { f.text("x"); });
  config_error(R"({"x": [1]})", [](const JsonFields& f) { f.optional_object("x"); });
}

TEST_CASE("JsonFields: a long value is cut in the message") {
  const Error error = config_error(R"({"x": "0123456789012345678901234567890123456789012345678901234567890123456789"})",
                                   [](const JsonFields& f) { f.flag("x", true); });
  CHECK(contains(error.what(), "..."));
  CHECK(std::string(error.what()).size() < 130);
}

TEST_CASE("JsonFields: fields of an inner object are named by their path") {
  const json object = json::parse(R"({"rope_scaling": {"factor": "8", "type": "linear"}})");
  const JsonFields fields(object, "config.json");
  const std::optional<JsonFields> scaling = fields.optional_object("rope_scaling");
  REQUIRE(scaling.has_value());
  CHECK(contains(thrown([&] { scaling->number("factor"); }).what(), "config.json: rope_scaling.factor: expected "));
  CHECK(scaling->unread() == std::vector<std::string>{"type"});
}

TEST_CASE("JsonFields: unread lists what was neither read nor ignored; asking has() is not reading") {
  const json object = json::parse(R"({"c": 1, "a": 2, "b": 3, "d": null})");
  const JsonFields fields(object, "config.json");
  fields.has("c");
  CHECK(fields.unread() == std::vector<std::string>{"a", "b", "c", "d"});
  fields.size("a");
  fields.size("d", 1);
  fields.ignore({"b", "absent"});
  CHECK(fields.unread() == std::vector<std::string>{"c"});
}

TEST_CASE("JsonFields: only objects have fields") {
  const json value = json::parse("[1]");
  const Error error = thrown([&] { JsonFields(value, "config.json"); });
  CHECK(error.code() == ErrorCode::config_invalid);
  CHECK(contains(error.what(), "config.json: expected an object, found [1]"));
}

}  // namespace ffmem
