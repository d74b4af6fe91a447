// Which files of a model folder a command reads, known by their names, before anything is loaded.
#pragma once

#include <filesystem>
#include <vector>

namespace ffmem::tools {

/// config.json and the tokenizer's files that are there.
std::vector<std::filesystem::path> description_files(const std::filesystem::path& folder);

/// The same with generation_config.json, the weight files and their index. Other files there are the user's own.
std::vector<std::filesystem::path> model_files(const std::filesystem::path& folder);

}  // namespace ffmem::tools
