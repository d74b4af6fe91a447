// safetensors files built from their parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ffmem {

inline std::string little_endian_64(std::uint64_t value) {
  std::string bytes;
  for (unsigned i = 0; i < 8; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFF);
  return bytes;
}

/// Length, header, data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = "") {
  return little_endian_64(header.size()).append(header).append(data);
}

}  // namespace ffmem
