// Tensors of a safetensors file as NumPy's .npy files, version 1.0 of that format (numpy/lib/format.py): "\x93NUMPY", the
// version, a little-endian u16 length, a Python dictionary padded so that the data starts at a multiple of 64 bytes, then the
// data.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/safetensors.hpp"
#include "ops/dtype.hpp"

namespace ffmem::tools {

/// NumPy's name of the type that a tensor is written as: its own, little-endian; NumPy has no bf16, which becomes f32 exactly.
std::string_view npy_type(DType dtype) noexcept;

/// What stands before the data of a row-major array. Throws argument_invalid for a shape too long for the format.
std::string npy_header(std::string_view type, const std::vector<std::size_t>& shape);

/// Writes FOLDER/NAME.npy for every tensor, each file whole or not at all; makes the folder. done(bytes so far) may throw.
/// Throws file_unwritable; argument_invalid for a tensor whose name is no file name.
void export_npy(const SafetensorsFile& file, const std::filesystem::path& folder, const std::function<void(std::size_t)>& done);

}  // namespace ffmem::tools
