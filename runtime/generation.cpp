#include "runtime/generation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ops/error.hpp"

namespace ffmem {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// The first of the largest logits. NaN compares false and is passed over.
TokenId best_token(std::span<const float> logits) {
  std::size_t best = logits.size();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    if (best == logits.size() || logits[i] > logits[best]) best = i;
  }
  if (best == logits.size()) fail(ErrorCode::argument_invalid, "no token can be chosen: none of the logits is a number");
  return static_cast<TokenId>(best);
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  if (!(options.temperature >= 0.0F) || !std::isfinite(options.temperature)) {
    fail(ErrorCode::argument_invalid, "temperature: expected a number of at least 0, found ", options.temperature);
  }
  if (!(options.top_p > 0.0F && options.top_p <= 1.0F)) {
    fail(ErrorCode::argument_invalid, "top_p: expected a number above 0 and at most 1, found ", options.top_p);
  }
}

TokenId Sampler::choose(std::span<const float> logits) {
  const TokenId best = best_token(logits);
  if (options_.temperature == 0.0F || options_.top_k == 1) return best;
  const float largest = logits[static_cast<std::size_t>(best)];
  if (std::isinf(largest)) {
    fail(ErrorCode::argument_invalid, "no token can be drawn: the largest logit is ", largest);
  }
  const bool all = (options_.top_k == 0 || options_.top_k >= logits.size()) && options_.top_p == 1.0F;
  return all ? draw_from_all(logits, largest) : draw_from_best(logits, largest);
}

double Sampler::weight(float logit, float largest) const {
  if (std::isnan(logit)) return 0.0;
  return std::exp((static_cast<double>(logit) - static_cast<double>(largest)) / static_cast<double>(options_.temperature));
}

double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

/// Walks the tokens in the order of their ids until their weights pass a random share of the sum.
TokenId Sampler::draw_from_all(std::span<const float> logits, float largest) {
  double sum = 0.0;
  for (const float logit : logits) sum += weight(logit, largest);
  const double target = uniform() * sum;
  double passed = 0.0;
  std::size_t last_possible = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double w = weight(logits[i], largest);
    if (w == 0.0) continue;
    last_possible = i;
    passed += w;
    if (passed > target) break;
  }
  return static_cast<TokenId>(last_possible);
}

/// Takes tokens off a heap, best first, until top_k and top_p are reached, and walks those as above.
TokenId Sampler::draw_from_best(std::span<const float> logits, float largest) {
  candidates_.clear();
  double sum = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) continue;
    candidates_.push_back({logits[i], static_cast<TokenId>(i)});
    sum += weight(logits[i], largest);
  }
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.logit < b.logit || (a.logit == b.logit && a.token > b.token);
  };
  std::ranges::make_heap(candidates_, worse);
  std::ptrdiff_t n_taken = 0;  // off the heap: they lie at the end, the best one last
  const auto nth_best = [&](std::size_t i) {
    for (; n_taken <= static_cast<std::ptrdiff_t>(i); ++n_taken) {
      std::pop_heap(candidates_.begin(), candidates_.end() - n_taken, worse);
    }
    return candidates_[candidates_.size() - 1 - i];
  };

  const bool limited = options_.top_k != 0 && options_.top_k < candidates_.size();
  const std::size_t k = limited ? options_.top_k : candidates_.size();
  if (limited) {
    sum = 0.0;
    for (std::size_t i = 0; i < k; ++i) sum += weight(nth_best(i).logit, largest);
  }
  double kept_sum = 0.0;
  std::size_t n_kept = 0;
  while (n_kept < k && kept_sum < static_cast<double>(options_.top_p) * sum) {
    kept_sum += weight(nth_best(n_kept).logit, largest);
    ++n_kept;
  }
  const double target = uniform() * kept_sum;
  double passed = 0.0;
  std::size_t i = 0;
  for (; i + 1 < n_kept; ++i) {
    passed += weight(nth_best(i).logit, largest);
    if (passed > target) break;
  }
  return nth_best(i).token;
}

namespace {

/// Runs the prompt and returns the logits behind it, [1, V].
ConstMatrixView run_prompt(Session& session, std::span<const TokenId> prompt, std::size_t max_run_tokens,
                           std::span<Hook* const> hooks) {
  if (prompt.empty()) fail(ErrorCode::argument_invalid, "the prompt has no tokens");
  if (!session.keeps_cache()) fail(ErrorCode::argument_invalid, "a text can only go on in a session that keeps its cache");
  const std::size_t end = session.length(0) + prompt.size();
  if (end > session.context()) {
    fail(ErrorCode::context_exceeded, "the prompt would reach ", end, " tokens: the context is ", session.context());
  }
  const std::size_t piece = max_run_tokens == 0 ? prompt.size() : max_run_tokens;
  for (; prompt.size() > piece; prompt = prompt.subspan(piece)) session.run(prompt.first(piece), LogitsRows::none, hooks);
  return session.run(prompt, LogitsRows::last, hooks);
}

}  // namespace

Generation generate(Session& session, std::span<const TokenId> prompt, const GenerationOptions& options,
                    const std::function<bool(TokenId)>& on_token, std::span<Hook* const> hooks) {
  Sampler sampler(options.sampling);
  Generation result;
  result.prompt_tokens = prompt.size();
  const auto start = Clock::now();
  ConstMatrixView logits = run_prompt(session, prompt, options.max_run_tokens, hooks);
  result.prompt_seconds = seconds_since(start);

  const auto decode_start = Clock::now();
  while (result.tokens.size() < options.max_new_tokens) {
    const TokenId token = sampler.choose(logits.row(0));
    result.tokens.push_back(token);
    const bool go_on = !on_token || on_token(token);
    if (std::ranges::find(options.end_tokens, token) != options.end_tokens.end()) {
      result.end = Generation::End::end_token;
      break;
    }
    if (!go_on) {
      result.end = Generation::End::caller;
      break;
    }
    if (result.tokens.size() == options.max_new_tokens) break;
    if (session.length(0) == session.context()) {
      result.end = Generation::End::context;
      break;
    }
    logits = session.run(std::span(&token, 1), LogitsRows::last, hooks);
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

}  // namespace ffmem
