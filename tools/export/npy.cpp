#include "tools/export/npy.hpp"

#include <algorithm>
#include <array>

#include "loaders/atomic_file.hpp"
#include "ops/error.hpp"
#include "ops/weight_matrix.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPreambleBytes = 10;  // magic, version, length
constexpr std::size_t kBlock = std::size_t{1} << 16;

/// A tuple as Python writes it: "()", "(3,)", "(3, 4)".
std::string tuple_text(const std::vector<std::size_t>& shape) {
  std::string text = "(";
  for (const std::size_t& n : shape) text += std::to_string(n) + (shape.size() == 1 ? "," : &n == &shape.back() ? "" : ", ");
  return text + ")";
}

void write_bf16_as_f32(AtomicFile& file, const StoredTensor& tensor) {
  std::array<float, kBlock> block{};
  for (std::size_t begin = 0; begin < tensor.n_elements; begin += kBlock) {
    const std::size_t n = std::min(kBlock, tensor.n_elements - begin);
    convert_to_f32(tensor.data + begin * element_bytes(DType::bf16), DType::bf16, n, block.data());
    file.write(block.data(), n * sizeof(float));
  }
}

std::filesystem::path file_of(const StoredTensor& tensor, const std::filesystem::path& folder) {
  if (tensor.name.empty() || tensor.name.find('/') != std::string::npos || tensor.name.find('\0') != std::string::npos) {
    fail(ErrorCode::argument_invalid, tensor.file->string(), ": tensor '", tensor.name,
         "': its name cannot be that of a file in ", folder.string());
  }
  return folder / (tensor.name + ".npy");
}

}  // namespace

std::string_view npy_type(DType dtype) noexcept {
  switch (dtype) {
    case DType::boolean:
      return "|b1";
    case DType::u8:
      return "|u1";
    case DType::i8:
      return "|i1";
    case DType::i16:
      return "<i2";
    case DType::u16:
      return "<u2";
    case DType::f16:
      return "<f2";
    case DType::i32:
      return "<i4";
    case DType::u32:
      return "<u4";
    case DType::bf16:
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::i64:
      return "<i8";
    case DType::u64:
      return "<u8";
  }
  return {};
}

std::string npy_header(std::string_view type, const std::vector<std::size_t>& shape) {
  std::string dictionary = concat("{'descr': '", type, "', 'fortran_order': False, 'shape': ", tuple_text(shape), ", }");
  const std::size_t used = kPreambleBytes + dictionary.size() + 1;
  dictionary.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  dictionary += '\n';
  if (dictionary.size() > 0xFFFF)
    fail(ErrorCode::argument_invalid, "npy: a shape of ", shape.size(), " dimensions is too long");
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

void export_npy(const SafetensorsFile& file, const std::filesystem::path& folder,
                const std::function<void(std::size_t)>& done) {
  for (const auto& [name, tensor] : file.tensors()) file_of(tensor, folder);  // before the first is written
  make_folder(folder);
  std::size_t n_bytes = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    AtomicFile out(file_of(tensor, folder));
    out.write(npy_header(npy_type(tensor.dtype), tensor.shape));
    if (tensor.dtype == DType::bf16) {
      write_bf16_as_f32(out, tensor);
    } else {
      out.write(tensor.data, tensor.n_bytes);
    }
    out.commit();
    n_bytes += tensor.n_bytes;
    done(n_bytes);
  }
}

}  // namespace ffmem::tools
