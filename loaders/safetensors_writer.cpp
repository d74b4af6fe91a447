#include "loaders/safetensors_writer.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "loaders/atomic_file.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_header.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "ops/rounding.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kHeaderAlignment = 8;

/// `text` as a JSON string.
std::string quoted(const std::string& text, const std::filesystem::path& path) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    fail(ErrorCode::argument_invalid, path.string(), ": expected names and metadata in UTF-8, found \"", shown_text(text),
         "\"");
  }
}

/// Bytes of a tensor. Throws argument_invalid if `limit` is exceeded on the way.
std::size_t tensor_bytes(const SafetensorsWriter::Declaration& tensor, std::size_t limit, const std::filesystem::path& path) {
  std::size_t n_bytes = element_bytes(tensor.dtype);
  for (const std::size_t dimension : tensor.shape) {
    if (dimension != 0 && n_bytes > limit / dimension) {
      fail(ErrorCode::argument_invalid, path.string(), ": ", shown_text(tensor.name),
           ": expected a file size of 63 bits, found ", "shape ", shape_text(tensor.shape));
    }
    n_bytes *= dimension;
  }
  return n_bytes;
}

void check_names(const std::vector<SafetensorsWriter::Declaration>& tensors, const std::filesystem::path& path) {
  std::set<std::string_view> names = {"__metadata__"};  // reserved
  for (const auto& tensor : tensors) {
    if (names.insert(tensor.name).second) continue;
    fail(ErrorCode::argument_invalid, path.string(), ": ", shown_text(tensor.name),
         ": expected a name of its own, found it taken");
  }
}

std::string metadata_json(const std::map<std::string, std::string>& metadata, const std::filesystem::path& path) {
  std::string text = "{";
  for (const auto& [key, value] : metadata) {
    if (text.size() > 1) text += ',';
    text += quoted(key, path) + ":" + quoted(value, path);
  }
  return text + "}";
}

std::string shape_json(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t dimension : shape) {
    if (text.size() > 1) text += ',';
    text += std::to_string(dimension);
  }
  return text + "]";
}

struct Header {
  std::string text;
  std::size_t data_bytes = 0;
};

Header make_header(const std::vector<SafetensorsWriter::Declaration>& tensors,
                   const std::map<std::string, std::string>& metadata, const std::filesystem::path& path) {
  constexpr auto kMaxFileBytes = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
  Header header;
  header.text = "{";
  if (!metadata.empty()) header.text += "\"__metadata__\":" + metadata_json(metadata, path);
  for (const auto& tensor : tensors) {
    const std::size_t begin = header.data_bytes;
    header.data_bytes += tensor_bytes(tensor, kMaxFileBytes - begin, path);
    if (header.text.size() > 1) header.text += ',';
    header.text += concat(quoted(tensor.name, path), R"(:{"dtype":")", ffmem::name(tensor.dtype), R"(","shape":)",
                          shape_json(tensor.shape), R"(,"data_offsets":[)", begin, ",", header.data_bytes, "]}");
  }
  header.text += "}";
  header.text.resize(round_up(header.text.size(), kHeaderAlignment), ' ');
  if (header.text.size() > kMaxHeaderBytes) {
    fail(ErrorCode::argument_invalid, path.string(), ": expected a header of at most ", kMaxHeaderBytes, " bytes, found ",
         header.text.size());
  }
  return header;
}

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  return bytes;
}

}  // namespace

struct SafetensorsWriter::State {
  AtomicFile file;
  std::filesystem::path path;
  std::size_t bytes_declared = 0;
  std::size_t bytes_left = 0;
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<Declaration>& tensors,
                                     const std::map<std::string, std::string>& metadata) {
  check_names(tensors, path);
  const Header header = make_header(tensors, metadata, path);
  state_.reset(new State{AtomicFile(path), path, header.data_bytes, header.data_bytes});
  state_->file.write(little_endian(header.text.size()));
  state_->file.write(header.text);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::append(const void* data, std::size_t n_bytes) {
  if (n_bytes > state_->bytes_left) {
    fail(ErrorCode::argument_invalid, state_->path.string(), ": expected ", state_->bytes_declared, " bytes of data, found ",
         n_bytes - state_->bytes_left, " more");
  }
  state_->file.write(data, n_bytes);
  state_->bytes_left -= n_bytes;
}

void SafetensorsWriter::commit() {
  if (state_->bytes_left > 0) {
    fail(ErrorCode::argument_invalid, state_->path.string(), ": expected ", state_->bytes_declared, " bytes of data, found ",
         state_->bytes_left, " fewer");
  }
  state_->file.commit();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorToWrite*> order;
  order.reserve(tensors.size());
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return element_bytes(a->dtype) > element_bytes(b->dtype); });
  std::vector<SafetensorsWriter::Declaration> declarations;
  declarations.reserve(order.size());
  for (const TensorToWrite* tensor : order) declarations.push_back({tensor->name, tensor->dtype, tensor->shape});
  SafetensorsWriter writer(path, declarations, metadata);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t n_bytes = tensor_bytes(declarations[i], std::numeric_limits<std::size_t>::max(), path);
    if (order[i]->data == nullptr && n_bytes > 0) {
      fail(ErrorCode::argument_invalid, path.string(), ": ", shown_text(order[i]->name), ": expected data, found null");
    }
    writer.append(order[i]->data, n_bytes);
  }
  writer.commit();
}

}  // namespace ffmem
