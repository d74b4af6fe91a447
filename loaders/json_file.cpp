#include "loaders/json_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 64;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 32;

constexpr std::string_view kSizeWords = "a whole number from 0 to 4294967296";
constexpr std::string_view kNumberWords = "a number in the range of float32";
constexpr std::string_view kFlagWords = "true or false";
constexpr std::string_view kTextWords = "a string";

/// The offset of the first bracket that opens a value nested deeper than kMaxDepth; npos if there is none. Found before
/// parsing because code that walks a document (its destructor, a dump for a message) may recurse.
std::size_t find_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return i;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return std::string_view::npos;
}

std::string line_and_column(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t line_begin = 0;
  for (std::size_t i = 0; i < std::min(offset, text.size()); ++i) {
    if (text[i] != '\n') continue;
    ++line;
    line_begin = i + 1;
  }
  return concat("line ", line, ", column ", offset - line_begin + 1);
}

}  // namespace

json read_json_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const std::string text = read_parsed_file(path, ErrorCode::json_invalid, max_bytes);
  if (const std::size_t deep = find_too_deep(text); deep != std::string_view::npos) {
    fail(ErrorCode::json_invalid, path.string(), ": ", line_and_column(text, deep), ": expected at most ", kMaxDepth,
         " arrays and objects inside each other, found more");
  }
  // The parser would take a zero byte for the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != std::string::npos) {
    fail(ErrorCode::json_invalid, path.string(), ": ", line_and_column(text, zero), ": expected JSON, found a zero byte");
  }
  try {
    return json::parse(text);
  } catch (const json::parse_error& e) {
    // The library counts a line break that ends a bad word as the next line; its byte is the place.
    fail(ErrorCode::json_invalid, path.string(), ": ", line_and_column(text, e.byte > 0 ? e.byte - 1 : 0),
         ": expected JSON: ", json_error_text(e));
  } catch (const json::exception& e) {  // a number beyond double
    fail(ErrorCode::json_invalid, path.string(), ": expected JSON: ", json_error_text(e));
  }
}

std::string json_error_text(const json::exception& error) {
  // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...": places have no colon before them.
  constexpr std::size_t kLimit = 200;
  const std::string_view message = error.what();
  const std::string_view mark = message.find("] parse error") != std::string_view::npos ? ": " : "] ";
  const std::size_t found = message.find(mark);
  const std::string_view text = found == std::string_view::npos ? message : message.substr(found + mark.size());
  return shown_text(text, kLimit);  // the library quotes what it stumbled over, which may be no character
}

std::string short_json(const json& value) {
  constexpr std::size_t kMostElements = 8;
  constexpr std::size_t kLimit = 60;
  const auto nests = [](const json& element) { return element.is_structured(); };
  if (value.is_structured() && (value.size() > kMostElements || std::ranges::any_of(value, nests))) {
    return concat(value.is_array() ? "an array of " : "an object of ", value.size());
  }
  return shown_text(value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace), kLimit);
}

JsonFields::JsonFields(const json& object, const std::filesystem::path& file, std::string where)
    : object_(&object), file_(file.string()), where_(std::move(where)) {
  if (object.is_object()) return;
  fail(ErrorCode::config_invalid, file_, where_.empty() ? "" : ": ", where_, ": expected an object, found ",
       short_json(object));
}

std::size_t JsonFields::size(std::string_view key) const { return as_size(key, find_needed(key, kSizeWords)); }

std::size_t JsonFields::size(std::string_view key, std::size_t fallback) const {
  const json* value = find_set(key);
  return value == nullptr ? fallback : as_size(key, *value);
}

float JsonFields::number(std::string_view key) const { return as_number(key, find_needed(key, kNumberWords)); }

float JsonFields::number(std::string_view key, float fallback) const { return optional_number(key).value_or(fallback); }

std::optional<float> JsonFields::optional_number(std::string_view key) const {
  const json* value = find_set(key);
  return value == nullptr ? std::nullopt : std::optional(as_number(key, *value));
}

bool JsonFields::flag(std::string_view key, bool fallback) const {
  const json* value = find_set(key);
  return value == nullptr ? fallback : as_flag(key, *value);
}

std::string JsonFields::text(std::string_view key) const { return as_text(key, find_needed(key, kTextWords)); }

std::string JsonFields::text(std::string_view key, std::string_view fallback) const {
  const json* value = find_set(key);
  return value == nullptr ? std::string(fallback) : as_text(key, *value);
}

std::optional<JsonFields> JsonFields::optional_object(std::string_view key) const {
  const json* value = find_set(key);
  return value == nullptr ? std::nullopt : std::optional(JsonFields(*value, file_, place(key)));
}

bool JsonFields::has(std::string_view key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

bool JsonFields::contains(std::string_view key) const { return object_->contains(key); }

const json& JsonFields::at(std::string_view key) const { return find_needed(key, "a value"); }

void JsonFields::refuse(std::string_view key, std::string_view expected) const {
  const json* value = find(key);
  fail(ErrorCode::config_invalid, file_, ": ", place(key), ": expected ", expected, ", found ",
       value == nullptr ? "no such field" : short_json(*value));
}

void JsonFields::ignore(std::initializer_list<std::string_view> keys) const { read_.insert(keys.begin(), keys.end()); }

std::vector<std::string> JsonFields::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_->items()) {
    if (!read_.contains(key)) keys.push_back(key);
  }
  return keys;
}

const json* JsonFields::find(std::string_view key) const {
  read_.emplace(key);
  const auto found = object_->find(key);
  return found == object_->end() ? nullptr : &*found;
}

const json* JsonFields::find_set(std::string_view key) const {
  const json* value = find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json& JsonFields::find_needed(std::string_view key, std::string_view expected) const {
  const json* value = find(key);
  if (value == nullptr) refuse(key, expected);
  return *value;
}

std::size_t JsonFields::as_size(std::string_view key, const json& value) const {
  // The parser makes every whole number >= 0 that fits 64 bits unsigned, and a larger one a float.
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMaxSize) refuse(key, kSizeWords);
  return value.get<std::size_t>();
}

float JsonFields::as_number(std::string_view key, const json& value) const {
  if (!value.is_number() || std::fabs(value.get<double>()) > std::numeric_limits<float>::max()) refuse(key, kNumberWords);
  return value.get<float>();
}

bool JsonFields::as_flag(std::string_view key, const json& value) const {
  if (!value.is_boolean()) refuse(key, kFlagWords);
  return value.get<bool>();
}

std::string JsonFields::as_text(std::string_view key, const json& value) const {
  if (!value.is_string()) refuse(key, kTextWords);
  return value.get<std::string>();
}

std::string JsonFields::place(std::string_view key) const {
  const std::string shown = shown_text(key);
  return where_.empty() ? shown : concat(where_, ".", shown);
}

}  // namespace ffmem
