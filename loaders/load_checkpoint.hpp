// From a model folder to its configuration and weights, whatever its family.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"

namespace ffmem {

/// A folder's configuration and weights.
struct LoadedCheckpoint {
  ModelConfig config;
  ModelWeights weights;
};

/// Reads a config.json alone, whose family is found by its `model_type` (fairseq's has none and is known by its fields).
/// Throws file_not_found, json_invalid, config_*, family_unknown (listing those supported), activation_unknown.
ModelConfig load_config(const std::filesystem::path& config_file);

/// Reads `folder`/config.json, and generation_config.json's end tokens where it has one, and maps the tensors.
/// Throws file_not_found, json_invalid, config_*, family_unknown (listing those supported), activation_unknown, tensor_missing,
/// tensor_shape, tensor_dtype, and what Checkpoint throws; every message names the file and the field or tensor.
LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder);

/// The `model_type` names that load_checkpoint knows.
std::vector<std::string> supported_families();

}  // namespace ffmem
