#include "loaders/tokenizer/json_node.hpp"

#include <cstdint>

#include "loaders/json_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
std::string JsonNode::origin() const { return place_.empty() ? *file_ : *file_ + ": " + place_; }

void JsonNode::invalid(std::string_view expected) const {
  fail(ErrorCode::tokenizer_invalid, origin(), ": expected ", expected, ", found ", short_json(*value_));
}

void JsonNode::unsupported(std::string_view what) const {
  fail(ErrorCode::tokenizer_unsupported, origin(), ": this program does not implement ", shown_text(what));
}

const nlohmann::json& JsonNode::object() const {
  if (!value_->is_object()) invalid("an object");
  return *value_;
}

JsonNode JsonNode::at(std::string_view key) const {
  const auto field = object().find(key);
  if (field == value_->end()) invalid(concat("a field '", shown_text(key), "'"));
  return {*field, *file_, place_.empty() ? shown_text(key) : concat(place_, ".", shown_text(key))};
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  const auto field = object().find(key);
  if (field == value_->end() || field->is_null()) return std::nullopt;
  return at(key);
}

const nlohmann::json& JsonNode::array() const {
  if (!value_->is_array()) invalid("an array");
  return *value_;
}

JsonNode JsonNode::at(std::size_t index) const { return {(*value_)[index], *file_, concat(place_, "[", index, "]")}; }

std::vector<JsonNode> JsonNode::elements() const {
  std::vector<JsonNode> nodes;
  nodes.reserve(array().size());
  for (std::size_t i = 0; i < value_->size(); ++i) nodes.push_back(at(i));
  return nodes;
}

std::string JsonNode::text() const {
  if (!value_->is_string()) invalid("a text");
  return value_->get<std::string>();
}

bool JsonNode::flag() const {
  if (!value_->is_boolean()) invalid("true or false");
  return value_->get<bool>();
}

std::size_t JsonNode::size() const {
  const bool is_whole = value_->is_number_unsigned() || (value_->is_number_integer() && value_->get<std::int64_t>() >= 0);
  if (!is_whole) invalid("a whole number from 0");
  return value_->get<std::size_t>();
}

char32_t JsonNode::character() const {
  const std::string characters = text();
  if (characters.empty() || utf8_at(characters, 0).length != characters.size()) invalid("a text of one character");
  return utf8_at(characters, 0).code;
}

bool JsonNode::flag(std::string_view key, bool fallback) const {
  const auto field = find(key);
  return field ? field->flag() : fallback;
}

std::optional<std::string> JsonNode::text(std::string_view key) const {
  const auto field = find(key);
  if (!field) return std::nullopt;
  return field->text();
}

}  // namespace ffmem::tokenization
