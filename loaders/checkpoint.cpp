#include "loaders/checkpoint.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "loaders/json_file.hpp"
#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

/// Tensor name -> name of the shard's file.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const nlohmann::json document = read_json_file(index);
  const auto refuse = [&](const auto&... words) { fail(ErrorCode::shard_index_invalid, index.string(), ": ", words...); };
  if (!document.is_object() || !document.contains("weight_map") || !document["weight_map"].is_object()) {
    refuse("expected an object {\"weight_map\": {tensor: file}}, found none");
  }
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, file] : document["weight_map"].items()) {
    if (!file.is_string()) refuse("weight_map: ", shown_text(tensor), ": expected a string, found ", file.type_name());
    const std::string shard = file.get<std::string>();
    if (shard.empty() || shard == "." || shard == ".." || shard.find_first_of(std::string_view("/\\\0", 3)) != shard.npos) {
      refuse("weight_map: ", shown_text(tensor), ": expected the name of a file in the same folder, found \"",
             shown_text(shard), "\"");
    }
    shards.emplace(tensor, shard);
  }
  if (shards.empty()) refuse("weight_map: expected a tensor, found none");
  return shards;
}

/// Opens the shards, each once, in order of name.
std::vector<SafetensorsFile> open_shards(const std::map<std::string, std::string>& weight_map,
                                         const std::filesystem::path& index) {
  std::set<std::string> names;
  for (const auto& [tensor, shard] : weight_map) names.insert(shard);
  std::vector<SafetensorsFile> files;
  for (const std::string& name : names) {
    const std::filesystem::path path = index.parent_path() / name;
    if (!may_exist(path)) {
      fail(ErrorCode::shard_index_invalid, index.string(), ": expected the file ", shown_text(name), " beside it, found none");
    }
    files.emplace_back(path);
  }
  return files;
}

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::map<std::string, std::string> weight_map;
  if (may_exist(single)) {
    description_ = single;
    files_.emplace_back(single);
  } else if (may_exist(index)) {
    description_ = index;
    weight_map = read_weight_map(index);
    files_ = open_shards(weight_map, index);
  } else {
    fail(ErrorCode::file_not_found, folder.string(),
         ": expected model.safetensors or model.safetensors.index.json, found neither");
  }
  for (const SafetensorsFile& file : files_) {
    for (const auto& [name, tensor] : file.tensors()) {
      const auto [place, is_new] = tensors_.emplace(name, &tensor);
      if (is_new) continue;
      fail(ErrorCode::shard_index_invalid, index.string(), ": ", shown_text(name), ": expected it in one shard, found it in ",
           place->second->file->filename().string(), " and ", file.path().filename().string());
    }
  }
  for (const auto& [name, shard] : weight_map) {
    const StoredTensor* tensor = find(name);
    if (tensor != nullptr && tensor->file->filename() == shard) continue;
    fail(ErrorCode::shard_index_invalid, index.string(), ": ", shown_text(name), ": expected it in ", shown_text(shard),
         ", found it ", tensor == nullptr ? "in no shard" : "in " + tensor->file->filename().string());
  }
}

const StoredTensor* Checkpoint::find(std::string_view name) const noexcept {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const StoredTensor& Checkpoint::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  fail(ErrorCode::tensor_missing, description_.string(), ": expected a tensor ", shown_text(name), ", found none of that name");
}

std::size_t Checkpoint::file_bytes() const noexcept {
  std::size_t sum = 0;
  for (const SafetensorsFile& file : files_) sum += file.file_bytes();
  return sum;
}

}  // namespace ffmem
