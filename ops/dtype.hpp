// Element types of stored tensors (the names and sizes of the safetensors format) and token ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ffmem {

using TokenId = std::int32_t;

enum class DType { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

/// Bytes of one element.
std::size_t element_bytes(DType dtype) noexcept;

/// The safetensors spelling: "F32", "BF16", "BOOL", ...
std::string_view name(DType dtype) noexcept;

/// The type with that safetensors spelling; nothing for a name this program does not know.
std::optional<DType> dtype_from_name(std::string_view name) noexcept;

/// f16, bf16, f32, f64: what a model's weights may be stored in.
bool is_floating(DType dtype) noexcept;

}  // namespace ffmem
