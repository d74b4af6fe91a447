// Safetensors files written, whole or not at all. The format: safetensors.hpp.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/dtype.hpp"

namespace ffmem {

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
