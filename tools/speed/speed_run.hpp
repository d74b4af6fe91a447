// Measures a model's speed: a prompt at once, then one token after another, in rounds.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/model.hpp"
#include "runtime/session.hpp"
#include "tools/speed/machine_rates.hpp"
#include "tools/speed/pass_cost.hpp"

namespace ffmem::tools {

struct SpeedPlan {
  std::size_t prompt = 512;  // tokens of each sequence run at once
  std::size_t new_tokens = 64;
  std::size_t batch = 1;                 // sequences, prompts in one run and new tokens side by side
  std::size_t repeat = 5;                // rounds measured, after one that is not
  LogitsRows logits = LogitsRows::last;  // of the prompt; each new token has its own
  int n_threads = 0;                     // 0: as available
};

/// One phase of all rounds.
struct PhaseSpeed {
  std::vector<double> tokens_per_second;  // [repeat], of all sequences together
  std::vector<MachineRates> machine;      // [repeat], of the times directly before and after
  std::size_t n_tokens = 0;               // of one round
  PassCost cost;                          // of one round
};

struct SpeedResult {
  PhaseSpeed prompt;
  PhaseSpeed decode;
  std::optional<double> active_share;  // of a plain ReLU layer's memories, over the prompt
  std::size_t resident_bytes = 0;      // of this process with the model and a session that has run all of the plan
  Session::Memory session;             // what the session holds when it is full
};

/// Runs `plan` on tokens drawn at random. Both phases are timed from the call to the scores, and the machine's rates between
/// them. `progress` is told the tokens done so far. Throws context_exceeded where prompt and new tokens exceed the model's
/// context; argument_invalid where a score is not finite; interrupted.
SpeedResult measure_speed(const std::shared_ptr<const Model>& model, const SpeedPlan& plan,
                          const std::function<void(std::size_t)>& progress = {});

}  // namespace ffmem::tools
