// One value of a JSON file together with its place in it, so that messages can name both.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tokenization {

/// Views the JSON value and the file's name, which must outlive it. Reading throws tokenizer_invalid:
/// "tokenizer.json: model.merges[3]: expected a text, found 5".
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, const std::string& file) : value_(&value), file_(&file) {}

  /// A field of this object. Throws if it is absent.
  JsonNode at(std::string_view key) const;
  /// Nothing where it is absent or null.
  std::optional<JsonNode> find(std::string_view key) const;

  /// An element of this array, which must have it.
  JsonNode at(std::size_t index) const;

  std::vector<JsonNode> elements() const;
  const nlohmann::json& array() const;  // to walk over large ones
  const nlohmann::json& object() const;
  std::string text() const;
  bool flag() const;
  std::size_t size() const;
  char32_t character() const;  // a text of exactly one
  bool is_zero() const { return value_->is_number() && value_->get<double>() == 0; }
  bool is_text() const { return value_->is_string(); }
  bool is_array() const { return value_->is_array(); }

  /// The same for fields that may be absent or null.
  bool flag(std::string_view key, bool fallback) const;
  std::optional<std::string> text(std::string_view key) const;

  /// "FILE: PLACE".
  std::string origin() const;

  [[noreturn]] void invalid(std::string_view expected) const;
  /// Throws tokenizer_unsupported: "FILE: PLACE: this program does not implement WHAT".
  [[noreturn]] void unsupported(std::string_view what) const;

 private:
  JsonNode(const nlohmann::json& value, const std::string& file, std::string place)
      : value_(&value), file_(&file), place_(std::move(place)) {}

  const nlohmann::json* value_;
  const std::string* file_;
  std::string place_;
};

}  // namespace ffmem::tokenization
