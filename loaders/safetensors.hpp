// The safetensors format: reading (mapped, zero copy) and writing.
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
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  /// In order of name.
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

  const StoredTensor* find(std::string_view name) const noexcept;  // nullptr if there is none of that name
  const StoredTensor& at(std::string_view name) const;             // throws tensor_missing, naming the folder's file

  /// All tensors, in order of name.
  const std::map<std::string, const StoredTensor*, std::less<>>& tensors() const noexcept { return tensors_; }
  std::size_t file_bytes() const noexcept;  // of all weight files together
  const std::vector<SafetensorsFile>& files() const noexcept { return files_; }

 private:
  std::filesystem::path description_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;
};

/// Writes a safetensors file piece by piece: declare all tensors, then append their bytes in the order declared. For one thread
/// at a time.
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::size_t> shape;
  };

  /// Opens a temporary file beside `path` and writes the header (padded with spaces to a multiple of 8 bytes). The same
  /// declarations and metadata give the same bytes. To keep every tensor aligned for its type, declare wider types first.
  /// Throws file_unwritable; argument_invalid for what a reader would refuse (a name that occurs twice, is `__metadata__` or
  /// not UTF-8; a shape whose size overflows).
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<Declaration>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// Removes the temporary file unless commit() was reached.
  ~SafetensorsWriter();

  /// The next bytes of the data section; a tensor may come in several pieces. Throws file_unwritable, argument_invalid if
  /// more bytes come than were declared.
  void append(const void* data, std::size_t n_bytes);

  /// Syncs and renames. Throws file_unwritable, argument_invalid if fewer bytes came than were declared.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A tensor in memory to be written. Views memory that must outlive the call.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  const void* data = nullptr;
};

/// Writes all tensors at once, whole or not at all. Order in the file: by element size, wider first, then as given. Throws what
/// SafetensorsWriter does.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace ffmem
