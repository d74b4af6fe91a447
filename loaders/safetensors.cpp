#include "loaders/safetensors.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "loaders/safetensors_header.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kLengthBytes = 8;

std::uint64_t read_little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// The header's text, its length checked.
std::string_view header_text(std::span<const std::byte> file, const std::string& path) {
  if (file.size() < kLengthBytes) {
    fail(ErrorCode::header_too_small, path, ": expected at least 8 bytes, found ", file.size());
  }
  const std::uint64_t length = read_little_endian(file);
  if (length > kMaxHeaderBytes) {
    fail(ErrorCode::header_too_large, path, ": header: expected at most ", kMaxHeaderBytes, " bytes, found a length of ",
         length, " (is it a safetensors file?)");
  }
  if (length > file.size() - kLengthBytes) {
    fail(ErrorCode::header_exceeds_file, path, ": header: expected ", length, " bytes behind the first 8, found ",
         file.size() - kLengthBytes);
  }
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<std::size_t>(length)};
}

/// The product of `factors` and `unit`; nothing where it, or a product on the way, does not fit.
std::optional<std::uint64_t> checked_product(const std::vector<std::size_t>& factors, std::uint64_t unit) {
  std::uint64_t product = 1;
  const auto multiply = [&product](std::uint64_t factor) {
    if (factor != 0 && product > std::numeric_limits<std::uint64_t>::max() / factor) return false;
    product *= factor;
    return true;
  };
  for (const std::size_t factor : factors) {
    if (!multiply(factor)) return std::nullopt;
  }
  return multiply(unit) ? std::optional(product) : std::nullopt;
}

void check_size(const HeaderEntry& entry, const std::string& place) {
  const auto n_bytes = checked_product(entry.shape, element_bytes(entry.dtype));
  if (!n_bytes) {
    fail(ErrorCode::tensor_shape_overflow, place, "expected a size of 64 bits, found shape ", shape_text(entry.shape), " of ",
         ffmem::name(entry.dtype));
  }
  if (entry.end - entry.begin != *n_bytes) {
    fail(ErrorCode::tensor_size_mismatch, place, "expected ", *n_bytes, " bytes for shape ", shape_text(entry.shape), " of ",
         ffmem::name(entry.dtype), ", found data_offsets [", entry.begin, ", ", entry.end, "]");
  }
}

void check_names(std::vector<HeaderEntry>& entries, const std::string& path) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice == entries.end()) return;
  fail(ErrorCode::tensor_name_duplicate, path, ": ", shown_text(twice->name), ": expected one entry, found two");
}

/// Checks names and sizes, and that the tensors lie end to end; sorts them by offset. Returns the end of the last one.
std::uint64_t validate_entries(std::vector<HeaderEntry>& entries, const std::string& path) {
  check_names(entries, path);
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t end = 0;
  for (const HeaderEntry& entry : entries) {
    const std::string place = concat(path, ": ", shown_text(entry.name), ": ");
    if (entry.begin != end || entry.end < entry.begin) {
      fail(ErrorCode::tensor_offsets_invalid, place, "expected data_offsets [", end, ", ", end, " or more], found [",
           entry.begin, ", ", entry.end, "]");
    }
    check_size(entry, place);
    end = entry.end;
  }
  return end;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return DType::u32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
}

}  // namespace

std::string shape_text(const std::vector<std::size_t>& shape) {
  constexpr std::size_t kLimit = 16;  // a hostile shape can have millions of dimensions
  std::string text = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), kLimit); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() > kLimit ? ", ...]" : "]");
}

template <class T>
std::span<const T> StoredTensor::values() const {
  if (dtype != dtype_of<T>()) {
    fail(ErrorCode::tensor_dtype, file->string(), ": ", shown_text(name), ": expected ", ffmem::name(dtype_of<T>()), ", found ",
         ffmem::name(dtype));
  }
  if (n_elements == 0) return {};
  if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) {
    fail(ErrorCode::tensor_dtype, file->string(), ": ", shown_text(name), ": expected data aligned to ", alignof(T),
         " bytes, found it unaligned");
  }
  return {reinterpret_cast<const T*>(data), n_elements};
}

template std::span<const float> StoredTensor::values<float>() const;
template std::span<const std::int64_t> StoredTensor::values<std::int64_t>() const;
template std::span<const std::int32_t> StoredTensor::values<std::int32_t>() const;
template std::span<const std::uint32_t> StoredTensor::values<std::uint32_t>() const;
template std::span<const std::uint8_t> StoredTensor::values<std::uint8_t>() const;

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), path_(std::make_unique<const std::filesystem::path>(path)) {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string_view text = header_text(bytes, path.string());
  SafetensorsHeader header = parse_safetensors_header(text, path);
  const std::uint64_t data_bytes = validate_entries(header.entries, path.string());
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + text.size());
  if (data_bytes != data.size()) {
    fail(ErrorCode::data_size_mismatch, path.string(), ": expected ", data_bytes, " bytes of data behind the header, found ",
         data.size(), data_bytes > data.size() ? " (the file is cut short)" : "");
  }
  metadata_ = std::move(header.metadata);
  for (HeaderEntry& entry : header.entries) {
    StoredTensor tensor;
    tensor.name = entry.name;
    tensor.dtype = entry.dtype;
    tensor.shape = std::move(entry.shape);
    tensor.data = data.data() + entry.begin;
    tensor.n_bytes = static_cast<std::size_t>(entry.end - entry.begin);
    tensor.n_elements = tensor.n_bytes / element_bytes(entry.dtype);
    tensor.file = path_.get();
    tensors_.emplace(std::move(entry.name), std::move(tensor));
  }
}

const StoredTensor* SafetensorsFile::find(std::string_view name) const noexcept {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const StoredTensor& SafetensorsFile::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  fail(ErrorCode::tensor_missing, path_->string(), ": expected a tensor ", shown_text(name), ", found none of that name");
}

}  // namespace ffmem
