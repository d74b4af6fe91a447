#include "ops/dtype.hpp"

#include <array>

namespace ffmem {
namespace {

struct DTypeFacts {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array<DTypeFacts, 13> kFacts{{{DType::boolean, "BOOL", 1},
                                             {DType::u8, "U8", 1},
                                             {DType::i8, "I8", 1},
                                             {DType::i16, "I16", 2},
                                             {DType::u16, "U16", 2},
                                             {DType::f16, "F16", 2},
                                             {DType::bf16, "BF16", 2},
                                             {DType::i32, "I32", 4},
                                             {DType::u32, "U32", 4},
                                             {DType::f32, "F32", 4},
                                             {DType::f64, "F64", 8},
                                             {DType::i64, "I64", 8},
                                             {DType::u64, "U64", 8}}};

constexpr const DTypeFacts& facts(DType dtype) { return kFacts[static_cast<std::size_t>(dtype)]; }

static_assert([] {
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (static_cast<std::size_t>(kFacts[i].dtype) != i) return false;
  }
  return true;
}());

}  // namespace

std::size_t element_bytes(DType dtype) noexcept { return facts(dtype).bytes; }

std::string_view name(DType dtype) noexcept { return facts(dtype).name; }

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
  for (const DTypeFacts& f : kFacts) {
    if (f.name == name) return f.dtype;
  }
  return std::nullopt;
}

bool is_floating(DType dtype) noexcept {
  return dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f32 || dtype == DType::f64;
}

}  // namespace ffmem
