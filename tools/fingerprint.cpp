#include "tools/fingerprint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <vector>

#include "ops/error.hpp"
#include "tools/model_files.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;  // a multiple of 8

/// Every step is a bijection of the state for a given word, and of the word for a given state.
std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
  state = (state ^ word) * 0x9E3779B97F4A7C15ULL;
  return state ^ (state >> 32);
}

std::uint64_t mix_file(std::uint64_t state, const std::filesystem::path& path, std::vector<char>& block) {
  if (!std::filesystem::exists(path)) fail(ErrorCode::file_not_found, path.string(), ": no such file");
  std::ifstream in(path, std::ios::binary);
  std::uint64_t n_bytes = 0;
  while (in) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    const auto n = static_cast<std::size_t>(in.gcount());
    n_bytes += n;
    const std::size_t n_words = (n + 7) / 8;
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(n), block.begin() + static_cast<std::ptrdiff_t>(n_words * 8), '\0');
    for (std::size_t i = 0; i < n_words; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, block.data() + i * 8, 8);
      state = mix(state, word);
    }
  }
  if (!in.eof()) fail(ErrorCode::file_unreadable, path.string(), ": cannot be read");
  return mix(state, n_bytes);
}

}  // namespace

std::string fingerprint(const std::vector<std::filesystem::path>& files) {
  std::vector<char> block(kBlockBytes);
  std::uint64_t state = mix(0, files.size());
  for (const auto& path : files) state = mix_file(state, path, block);
  return fmt::format("{:016x}", state);
}

std::string model_fingerprint(const std::filesystem::path& folder, std::vector<std::filesystem::path> weight_files) {
  std::ranges::sort(weight_files);
  std::vector<std::filesystem::path> files = description_files(folder);
  files.insert(files.end(), weight_files.begin(), weight_files.end());
  return fingerprint(files);
}

std::vector<std::filesystem::path> weight_files(const Model& model) {
  std::vector<std::filesystem::path> paths;
  for (const SafetensorsFile& file : model.weights().checkpoint->files()) paths.push_back(file.path());
  return paths;
}

}  // namespace ffmem::tools
