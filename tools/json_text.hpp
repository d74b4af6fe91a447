// JSON for programs that read our output: values to text, objects written field by field in the order given.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>

namespace ffmem::tools {

/// A value that is JSON already.
struct Json {
  std::string text;
};

/// A quoted string; whatever is not UTF-8 in `text` becomes U+FFFD.
Json to_json(std::string_view text);

/// The shortest digits that give the same number back; null where it is not finite.
Json to_json(double number);
Json to_json(float number);

inline Json to_json(Json value) { return value; }
inline Json to_json(const char* text) { return to_json(std::string_view(text)); }
inline Json to_json(const std::string& text) { return to_json(std::string_view(text)); }
inline Json to_json(const std::filesystem::path& path) { return to_json(std::string_view(path.native())); }

template <std::integral T>
Json to_json(T value) {
  if constexpr (std::same_as<T, bool>) {
    return {value ? "true" : "false"};
  } else {
    return {std::to_string(value)};
  }
}

/// null where there is no value.
template <class T>
Json to_json(const std::optional<T>& value) {
  return value ? to_json(*value) : Json{"null"};
}

/// An array.
template <std::ranges::input_range Range>
requires(!std::convertible_to<Range, std::string_view>) Json to_json(const Range& values) {
  std::string text = "[";
  for (const auto& value : values) {
    if (text.size() > 1) text += ", ";
    text += to_json(value).text;
  }
  return {text + "]"};
}

/// {"name": value, ...}
class JsonObject {
 public:
  template <class T>
  JsonObject& add(std::string_view name, const T& value) {
    fields_ += (fields_.empty() ? "" : ", ") + to_json(name).text + ": " + to_json(value).text;
    return *this;
  }
  Json json() const { return {"{" + fields_ + "}"}; }
  std::string line() const { return json().text + "\n"; }

 private:
  std::string fields_;
};

}  // namespace ffmem::tools
