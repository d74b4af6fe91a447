// 64-bit fingerprints of files, so that a resumed or merged result can tell that it is about the same model and corpus.
// Not cryptographic.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/model.hpp"

namespace ffmem::tools {

/// Over the files' bytes and sizes, in order; their names and folders do not count. 16 hexadecimal digits. Reads every byte
/// through a buffer of 1 MiB. Throws file_not_found, file_unreadable.
std::string fingerprint(const std::vector<std::filesystem::path>& files);

/// Over everything in a model folder that decides its numbers: config.json, the weight files given, the tokenizer's files.
std::string model_fingerprint(const std::filesystem::path& folder, std::vector<std::filesystem::path> weight_files);

/// The files that a loaded model's weights are mapped from.
std::vector<std::filesystem::path> weight_files(const Model& model);

}  // namespace ffmem::tools
