// Typed reading of a result file's metadata, which is all strings.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "loaders/safetensors.hpp"
#include "ops/error.hpp"
#include "tools/numbers.hpp"

namespace ffmem::tools {

/// Views what it is made of. Every function but refuse() throws store_invalid, naming the file and the key, where the key is
/// missing or is not what is asked for.
class MetadataFields {
 public:
  MetadataFields(const std::map<std::string, std::string>& values, const std::filesystem::path& file)
      : values_(values), file_(file) {}
  explicit MetadataFields(const SafetensorsFile& file) : MetadataFields(file.metadata(), file.path()) {}

  const std::string& text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) fail(ErrorCode::store_invalid, file_.string(), ": metadata has no '", key, "'");
    return found->second;
  }

  template <class T>
  T whole(const std::string& key) const {
    const auto value = to_number<T>(text(key));
    if (!value) refuse(key, "a whole number");
    return *value;
  }

  template <class T>
  std::optional<T> whole_or_empty(const std::string& key) const {
    if (text(key).empty()) return std::nullopt;
    return whole<T>(key);
  }

  bool flag(const std::string& key) const {
    if (text(key) != "true" && text(key) != "false") refuse(key, "true or false");
    return text(key) == "true";
  }

  void expect(const std::string& key, std::string_view value) const {
    if (text(key) != value) refuse(key, concat("'", value, "'"));
  }

  /// Throws store_invalid: expected so, found the key's text.
  [[noreturn]] void refuse(const std::string& key, std::string_view expected) const {
    fail(ErrorCode::store_invalid, file_.string(), ": metadata '", key, "': expected ", expected, ", found '", text(key), "'");
  }

 private:
  const std::map<std::string, std::string>& values_;
  const std::filesystem::path& file_;
};

}  // namespace ffmem::tools
