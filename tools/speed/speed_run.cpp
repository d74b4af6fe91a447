#include "tools/speed/speed_run.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <random>
#include <span>

#include "hooks/histogram.hpp"
#include "ops/cpu/matmul_kernels.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/interrupt.hpp"
#include "tools/speed/seconds.hpp"

namespace ffmem::tools {
namespace {

/// Pages of this process that are in memory now (Linux; 0 elsewhere).
std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total_pages = 0;
  std::size_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void check_finite(ConstMatrixView scores) {
  for (std::size_t r = 0; r < scores.rows; ++r) {
    if (std::ranges::all_of(scores.row(r), [](float x) { return std::isfinite(x); })) continue;
    fail(ErrorCode::argument_invalid, "the scores of row ", r,
         " are not all finite: a speed measured on them would mean nothing");
  }
}

bool is_plain_relu(const ModelConfig& config) { return config.activation == Activation::relu && !config.gated; }

class SpeedRun {
 public:
  SpeedRun(const std::shared_ptr<const Model>& model, const SpeedPlan& plan)
      : model_(*model), plan_(plan), options_(session_options(model->config(), plan)), session_(model, options_) {
    // The same tokens in every round and on every machine.
    std::mt19937 random(1);
    const auto draw = [&] { return static_cast<TokenId>(random() % model_.config().vocab_size); };
    prompts_.resize(plan.batch * plan.prompt);
    following_.resize(plan.batch * plan.new_tokens);
    std::ranges::generate(prompts_, draw);
    std::ranges::generate(following_, draw);
    for (std::size_t s = 0; s <= plan.batch; ++s) {
      prompt_offsets_.push_back(s * plan.prompt);
      step_offsets_.push_back(s);
    }
  }

  double prompt_seconds(std::span<Hook* const> hooks = {}) {
    throw_if_interrupted();
    for (std::size_t s = 0; s < plan_.batch; ++s) session_.truncate(s, 0);
    ConstMatrixView scores;
    const double seconds =
        seconds_of([&] { scores = session_.run({.tokens = prompts_, .offsets = prompt_offsets_}, plan_.logits, hooks); });
    check_finite(scores);
    return seconds;
  }

  /// Behind a prompt.
  double decode_seconds() {
    double seconds = 0.0;
    ConstMatrixView scores;
    for (std::size_t i = 0; i < plan_.new_tokens; ++i) {
      throw_if_interrupted();
      const auto tokens = std::span(following_).subspan(i * plan_.batch, plan_.batch);
      seconds += seconds_of([&] { scores = session_.run({.tokens = tokens, .offsets = step_offsets_}, LogitsRows::last); });
    }
    check_finite(scores);
    return seconds;
  }

  /// The round that is not measured: pages are touched, threads started, memories counted.
  std::optional<double> warm_up() {
    if (!is_plain_relu(model_.config())) {
      prompt_seconds();
      decode_seconds();
      return {};
    }
    Histogram histogram(model_.config().n_layers, model_.config().d_memory);
    const std::array<Hook*, 1> hooks{&histogram};
    prompt_seconds(hooks);
    decode_seconds();
    double active = 0.0;
    double all = 0.0;
    for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
      all += histogram.counts()[i];
      if (i % Histogram::kBins != Histogram::kZeroBin) active += histogram.counts()[i];
    }
    return active / all;
  }

  PassCost prompt_cost() const {
    const std::size_t n_rows = plan_.batch * plan_.prompt;
    const std::size_t n_scored = plan_.logits == LogitsRows::none ? 0 : plan_.logits == LogitsRows::last ? plan_.batch : n_rows;
    return cost_of(model_, {.n_sequences = plan_.batch, .n_rows = plan_.prompt, .n_scored = n_scored});
  }

  /// Few sequences in f32 need not read the values of memories that are active in none of them, taken as independent here.
  PassCost decode_cost(std::optional<double> active_share) const {
    const bool sparse = active_share && plan_.batch <= kMaxSparseRows && model_.weight_mode() == WeightMode::f32;
    const double share = sparse ? 1.0 - std::pow(1.0 - *active_share, static_cast<double>(plan_.batch)) : 1.0;
    PassCost cost;
    for (std::size_t i = 0; i < plan_.new_tokens; ++i) {
      cost += cost_of(
          model_,
          {.n_sequences = plan_.batch, .n_rows = 1, .past = plan_.prompt + i, .n_scored = plan_.batch, .active_share = share});
    }
    return cost;
  }

  const SessionOptions& options() const noexcept { return options_; }

 private:
  static SessionOptions session_options(const ModelConfig& config, const SpeedPlan& plan) {
    const std::size_t context = plan.prompt + plan.new_tokens;
    if (context > config.max_positions) {
      fail(ErrorCode::context_exceeded, "a prompt of ", plan.prompt, " and ", plan.new_tokens,
           " new tokens: the model's context is ", config.max_positions);
    }
    return {.max_sequences = plan.batch,
            .context = context,
            .max_batch_tokens = plan.batch * plan.prompt,
            .keep_cache = true,
            .n_threads = plan.n_threads};
  }

  const Model& model_;
  const SpeedPlan& plan_;
  SessionOptions options_;
  Session session_;
  std::vector<TokenId> prompts_;    // [batch, prompt]
  std::vector<TokenId> following_;  // [new_tokens, batch]
  std::vector<std::size_t> prompt_offsets_;
  std::vector<std::size_t> step_offsets_;
};

}  // namespace

SpeedResult measure_speed(const std::shared_ptr<const Model>& model, const SpeedPlan& plan,
                          const std::function<void(std::size_t)>& progress) {
  const ThreadScope threads(plan.n_threads);
  SpeedRun run(model, plan);
  SpeedResult result;
  result.active_share = run.warm_up();
  result.resident_bytes = resident_bytes();
  result.session = Session::memory(model->config(), run.options());
  result.prompt = {.tokens_per_second = {}, .machine = {}, .n_tokens = plan.batch * plan.prompt, .cost = run.prompt_cost()};
  result.decode = {.tokens_per_second = {},
                   .machine = {},
                   .n_tokens = plan.batch * plan.new_tokens,
                   .cost = run.decode_cost(result.active_share)};
  const std::size_t tokens_of_round = result.prompt.n_tokens + result.decode.n_tokens;
  if (progress) progress(tokens_of_round);
  const RateProbe probe(model->weight_mode(), available_threads());
  MachineRates before = probe.measure();
  const auto add = [&](PhaseSpeed& phase, double seconds) {
    const MachineRates after = probe.measure();
    phase.tokens_per_second.push_back(static_cast<double>(phase.n_tokens) / seconds);
    phase.machine.push_back(mean(before, after));
    before = after;
  };
  for (std::size_t i = 0; i < plan.repeat; ++i) {
    add(result.prompt, run.prompt_seconds());
    add(result.decode, run.decode_seconds());
    if (progress) progress((i + 2) * tokens_of_round);
  }
  return result;
}

}  // namespace ffmem::tools
