// One position of one run, layer by layer: what the residual stream and the feed-forward output would predict, and which
// memories are strongest (sections 4 and 5 of the paper, for a single prefix).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "hooks/hook.hpp"
#include "runtime/output_head.hpp"
#include "runtime/session.hpp"

namespace ffmem::tools {

struct Prediction {
  TokenId token = 0;
  double probability = 0.0;
};

struct TracedMemory {
  std::size_t unit = 0;
  float coefficient = 0.0F;
  double strength = 0.0;           // |m| |v|
  std::vector<Prediction> tokens;  // what m v promotes: v, or -v for a negative coefficient
};

struct TracedLayer {
  Prediction residual_mid, ffn_out, residual_post;
  std::vector<TracedMemory> memories;  // strongest first
};

struct Trace {
  std::vector<TracedLayer> layers;
  std::vector<Prediction> model;  // the model's own next tokens, after all interventions
};

struct TraceOptions {
  Lens lens = Lens::final_norm;
  std::size_t n_memories = 2;
  std::size_t n_tokens = 3;  // of each memory, and of the model's own prediction
  int n_threads = 0;
};

/// Traces the last of `tokens`. `interventions` come before the reading.
Trace trace(const std::shared_ptr<const Model>& model, std::span<const TokenId> tokens, const TraceOptions& options,
            std::span<Hook* const> interventions);

}  // namespace ffmem::tools
