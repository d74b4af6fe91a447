#include "tools/model_files.hpp"

#include <array>
#include <string>

#include "loaders/mapped_file.hpp"

namespace ffmem::tools {

std::vector<std::filesystem::path> description_files(const std::filesystem::path& folder) {
  static constexpr std::array kTokenizerFiles{
      "tokenizer.json",         "vocab.json", "merges.txt", "dict.txt", "added_tokens.json", "tokenizer_config.json",
      "special_tokens_map.json"};
  std::vector<std::filesystem::path> files{folder / "config.json"};
  for (const char* name : kTokenizerFiles) {
    if (std::filesystem::exists(folder / name)) files.push_back(folder / name);
  }
  return files;
}

std::vector<std::filesystem::path> model_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files = description_files(folder);
  for (const char* name : {"generation_config.json", "model.safetensors"}) files.push_back(folder / name);
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  if (!std::filesystem::is_regular_file(index)) return files;
  files.push_back(index);
  // Searched, not parsed: an index that is damaged is not to be written over either, and loading says what is wrong with it.
  const std::string text = read_text_file(index);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (text.find('"' + entry.path().filename().string() + '"') != std::string::npos) files.push_back(entry.path());
  }
  return files;
}

}  // namespace ffmem::tools
