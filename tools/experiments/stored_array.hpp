// Arrays of the result files in OUT/data. A file may be damaged behind its metadata: what goes on as an index or a length is
// checked as it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "loaders/safetensors.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {

/// The tensor, which must have that shape. Throws what SafetensorsFile::at and StoredTensor::values throw; store_invalid for
/// another shape.
template <class T>
std::vector<T> stored_array(const SafetensorsFile& file, std::string_view name, const std::vector<std::size_t>& shape) {
  const StoredTensor& tensor = file.at(name);
  if (tensor.shape != shape) {
    fail(ErrorCode::store_invalid, file.path().string(), ": ", name, ": expected shape ", shape_text(shape), ", found ",
         shape_text(tensor.shape));
  }
  return tensor.copy<T>();
}

/// The same of whole numbers, which must be from `lowest` on and below `end`.
template <class T>
std::vector<T> stored_array(const SafetensorsFile& file, std::string_view name, const std::vector<std::size_t>& shape, T lowest,
                            std::size_t end) {
  std::vector<T> values = stored_array<T>(file, name, shape);
  for (const T value : values) {
    if (value >= lowest && static_cast<std::int64_t>(value) < static_cast<std::int64_t>(end)) continue;
    fail(ErrorCode::store_invalid, file.path().string(), ": ", name, ": expected numbers from ", lowest, " on and below ", end,
         ", found ", value);
  }
  return values;
}

}  // namespace ffmem::tools
