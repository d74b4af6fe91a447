// The JSON header of a safetensors file, read without building a document: what it says, not yet whether it is true.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ops/dtype.hpp"

namespace ffmem {

/// The format's limit.
inline constexpr std::size_t kMaxHeaderBytes = 100'000'000;

/// One tensor as declared: data section bytes [begin, end).
struct HeaderEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<HeaderEntry> entries;  // in the order of the text; a name may still occur twice
};

/// Throws header_not_utf8, header_not_json, header_not_an_object and tensor_dtype_unknown, naming `file` and tensor.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::filesystem::path& file);

}  // namespace ffmem
