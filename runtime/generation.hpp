// Continuing a text: choosing tokens from logits, and the loop of prompt, choice and one-token runs over the KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "hooks/hook.hpp"
#include "ops/dtype.hpp"
#include "runtime/session.hpp"

namespace ffmem {

/// p ∝ exp(logit / temperature) over the tokens that top_k and then top_p leave; at temperature 0 the best token.
struct SamplingOptions {
  float temperature = 0.0F;  // 0: greedy
  std::size_t top_k = 0;     // only the k best tokens; 0: all
  float top_p = 1.0F;        // only the fewest best tokens whose probabilities, after top_k, reach top_p in sum; at least one
  std::uint64_t seed = 0;
};

/// Chooses tokens. Its state is the random generator; the same seed and logits give the same tokens on every machine whose
/// exp() agrees. Among equal logits the smaller id is better; NaN is never chosen. For one thread at a time.
class Sampler {
 public:
  /// Throws argument_invalid: temperature negative or not finite, top_p outside (0, 1].
  explicit Sampler(const SamplingOptions& options);

  /// One draw from logits (or log-probabilities) [V]. Throws argument_invalid where no logit is a number, or (sampling) the
  /// largest is infinite.
  TokenId choose(std::span<const float> logits);

 private:
  struct Candidate {
    float logit;
    TokenId token;
  };
  TokenId draw_from_all(std::span<const float> logits, float largest);
  TokenId draw_from_best(std::span<const float> logits, float largest);
  double weight(float logit, float largest) const;
  double uniform();  // [0, 1): the generator's upper 53 bits

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<Candidate> candidates_;
};

struct GenerationOptions {
  SamplingOptions sampling = {};
  std::size_t max_new_tokens = 64;
  // Any of these ends the text (and is its last token): model.config().all_eos for the model's own.
  std::vector<TokenId> end_tokens = {};
  // The prompt is run in pieces of at most this many tokens; 0: at once. A hook at logits sees all rows of every piece but the
  // last, of which it sees one.
  std::size_t max_run_tokens = 0;
};

struct Generation {
  enum class End { max_new_tokens, end_token, context, caller };
  std::vector<TokenId> tokens;  // new ones only
  End end = End::max_new_tokens;
  std::size_t prompt_tokens = 0;
  double prompt_seconds = 0.0;  // until the logits behind the prompt are there
  double decode_seconds = 0.0;  // of all later runs and choices
};

/// Continues `prompt` in slot 0 of `session`, which goes on where it stands. Each new token is given to `on_token` (if any)
/// as soon as it is chosen; if that returns false, the text ends there. The last token is chosen but not run. When the
/// context is full, the text ends. Throws argument_invalid for an empty prompt or a session that keeps no cache, and what
/// Sampler, Session::run and on_token throw; the slot then stands behind the last piece or token that was run.
Generation generate(Session& session, std::span<const TokenId> prompt, const GenerationOptions& options,
                    const std::function<bool(TokenId)>& on_token = {}, std::span<Hook* const> hooks = {});

}  // namespace ffmem
