// A family of checkpoints as data: how its config.json becomes a ModelConfig, and where its tensors go.
//
// To add one: write loaders/families/NAME.cpp with one Family value, list it in families.cpp, and add a golden test
// (docs in families/README.md).
#pragma once

#include <span>
#include <string_view>

#include "loaders/checkpoint.hpp"
#include "loaders/json_file.hpp"
#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "loaders/weight_source.hpp"

namespace ffmem {

struct Family {
  std::string_view model_type;  // of config.json

  /// Reads every field that changes the numbers. What it leaves unread and is not known to be harmless is refused.
  ModelConfig (*read_config)(const JsonFields& fields);

  /// Fills in the canonical weights through a WeightSource, which checks sizes against the configuration.
  void (*map_weights)(const Checkpoint& checkpoint, const ModelConfig& config, const JsonFields& fields, ModelWeights& weights);
};

/// All of them, in order of name.
std::span<const Family* const> families();

extern const Family kBloom, kFairseq, kFalcon, kGemma2, kGpt2, kGptBigcode, kGptNeo, kGptNeoX, kGptJ, kLlama, kMistral, kOlmo2,
    kOpt, kPhi, kQwen2, kQwen3, kStarcoder2;

}  // namespace ffmem
