// The safetensors format, read: mapped, zero copy. Written: safetensors_writer.hpp.
//
// Layout: u64 little-endian header length, JSON header {name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__":
// {string: string}}, then the data. The validation rules are those of the reference reader (huggingface/safetensors,
// tensor.rs, `read_metadata` and `validate`), one ErrorCode each; leading and trailing JSON white space, unknown fields of a
// tensor and "__metadata__": null are accepted as there. Refused although the reference takes them: a tensor name that occurs
// twice (there the last counts), types that this program does not know (F8_E4M3, C64, ...), and a tensor or its dtype in
// serde's other spellings (["F32", [2], [0, 8]], {"F32": null}), which no writer uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "ops/dtype.hpp"

namespace ffmem {

/// "[768, 3072]"; "[]" for a scalar. For messages: ends in "..." behind 16 dimensions.
std::string shape_text(const std::vector<std::size_t>& shape);

/// One stored tensor. Views the mapping of its SafetensorsFile (or Checkpoint), which must outlive it.
struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;  // row-major, the last dimension contiguous
  const std::byte* data = nullptr;
  std::size_t n_elements = 0;
  std::size_t n_bytes = 0;
  const std::filesystem::path* file = nullptr;  // for error messages

  /// The elements as T (float, std::int64_t, std::int32_t, std::uint32_t, std::uint8_t). Throws tensor_dtype if T is not the
  /// stored type or the data is not aligned for it; convert_to_f32 on `data` takes floating types at any alignment.
  template <class T>
  std::span<const T> values() const;

  /// The same as a vector of its own.
  template <class T>
  std::vector<T> copy() const {
    const auto view = values<T>();
    return {view.begin(), view.end()};
  }
};

/// Immutable; safe to use from several threads at once.
class SafetensorsFile {
 public:
  /// Maps and validates. Memory beyond the mapping is bounded by a small multiple of the header's own size.
  /// Throws file_not_found, file_unreadable, and the header_*, tensor_* and data_* codes, naming file and tensor.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return *path_; }
  std::size_t file_bytes() const noexcept { return file_.bytes().size(); }

  /// The header's "__metadata__", and the tensors in order of name. Valid as long as this object.
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  const std::map<std::string, StoredTensor, std::less<>>& tensors() const noexcept { return tensors_; }

  /// nullptr if there is none of that name.
  const StoredTensor* find(std::string_view name) const noexcept;

  /// Throws tensor_missing, naming file and tensor.
  const StoredTensor& at(std::string_view name) const;

 private:
  MappedFile file_;
  std::unique_ptr<const std::filesystem::path> path_;  // the tensors point to it: a fixed address, also after a move
  std::map<std::string, std::string> metadata_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
};

}  // namespace ffmem
