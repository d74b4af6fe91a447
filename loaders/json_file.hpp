// JSON files, and typed reading of one JSON object's fields with errors that name file and key.
#pragma once

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/mapped_file.hpp"

namespace ffmem {

/// Throws what read_text_file throws, and json_invalid naming the file: more than `max_bytes`, or, with line and column,
/// not JSON, or arrays and objects nested more than 64 deep. Of keys that occur twice in an object the last counts, as in
/// Python.
nlohmann::json read_json_file(const std::filesystem::path& path, std::size_t max_bytes = kMaxParsedBytes);

/// What the JSON library says of a text, without its exception id and place, cut where it quotes too much; valid UTF-8.
std::string json_error_text(const nlohmann::json::exception& error);

/// A value for a message: as JSON, cut where it gets long; arrays and objects of more than a few plain values by their size.
std::string short_json(const nlohmann::json& value);

/// The fields of one JSON object. Views the object, which must outlive it. Not for use from several threads at once.
///
/// Reading throws config_invalid: "config.json: n_layer: expected a whole number from 0 to 4294967296, found -1".
/// Where a default or an optional is asked for, null counts as absent (Transformers writes unset fields as null).
class JsonFields {
 public:
  /// `where` is the object's place in the file ("rope_scaling"), empty for the whole. Throws config_invalid if `object` is
  /// not an object.
  JsonFields(const nlohmann::json& object, const std::filesystem::path& file, std::string where = {});
  JsonFields(nlohmann::json&& object, const std::filesystem::path& file, std::string where = {}) = delete;

  /// A whole number from 0 to 2^32. Numbers with a decimal point or an exponent (768.0) are refused.
  std::size_t size(std::string_view key) const;
  std::size_t size(std::string_view key, std::size_t fallback) const;

  /// Any number, rounded to float; refused where it is too large for one.
  float number(std::string_view key) const;
  float number(std::string_view key, float fallback) const;
  std::optional<float> optional_number(std::string_view key) const;

  bool flag(std::string_view key, bool fallback) const;

  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;

  /// The fields of an object inside this one; nothing where it is absent or null.
  std::optional<JsonFields> optional_object(std::string_view key) const;

  /// Present and not null. Does not count as reading.
  bool has(std::string_view key) const;

  /// Present, null or not: the few fields whose absence and null mean different things. Does not count as reading.
  bool contains(std::string_view key) const;

  /// The value itself, null included. Throws config_invalid if it is absent.
  const nlohmann::json& at(std::string_view key) const;

  /// "FILE: KEY", for error messages.
  std::string location(std::string_view key) const { return file_ + ": " + place(key); }

  /// Throws config_invalid: "FILE: KEY: expected EXPECTED, found ...", with the value shortened.
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;

  /// Counts these as read, present or not: fields known to have no influence on the numbers.
  void ignore(std::initializer_list<std::string_view> keys) const;

  /// Keys of this object that nothing above has asked for, in order of name.
  std::vector<std::string> unread() const;

 private:
  const nlohmann::json* find(std::string_view key) const;      // nullptr: absent; null is a value here
  const nlohmann::json* find_set(std::string_view key) const;  // nullptr: absent or null
  const nlohmann::json& find_needed(std::string_view key, std::string_view expected) const;
  std::size_t as_size(std::string_view key, const nlohmann::json& value) const;
  float as_number(std::string_view key, const nlohmann::json& value) const;
  bool as_flag(std::string_view key, const nlohmann::json& value) const;
  std::string as_text(std::string_view key, const nlohmann::json& value) const;
  std::string place(std::string_view key) const;
  const nlohmann::json* object_;
  std::string file_;
  std::string where_;
  mutable std::set<std::string, std::less<>> read_;  // asking is logically const
};

}  // namespace ffmem
