// A model folder's tensors, in one safetensors file or several.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/safetensors.hpp"

namespace ffmem {

/// The tensors of a model folder: `model.safetensors`, or else the shards that `model.safetensors.index.json` lists.
///
/// Every tensor of a listed shard counts, also one that the index does not list (as in Transformers). Immutable; safe to use
/// from several threads at once.
class Checkpoint {
 public:
  /// Throws file_not_found if the folder has neither, shard_index_invalid where index and shards disagree (a shard that is
  /// missing, a name in another shard than stated or in two, a file name that leaves the folder), json_invalid, and what
  /// SafetensorsFile throws.
  explicit Checkpoint(const std::filesystem::path& folder);
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

  const StoredTensor* find(std::string_view name) const noexcept;  // nullptr if there is none of that name
  const StoredTensor& at(std::string_view name) const;             // throws tensor_missing, naming the folder's file

  /// All tensors, in order of name. Valid as long as this object.
  const std::map<std::string, const StoredTensor*, std::less<>>& tensors() const noexcept { return tensors_; }
  std::size_t file_bytes() const noexcept;  // of all weight files together

  /// Valid as long as this object.
  const std::vector<SafetensorsFile>& files() const noexcept { return files_; }

 private:
  std::filesystem::path description_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;
};

}  // namespace ffmem
