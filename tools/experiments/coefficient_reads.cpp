#include "tools/experiments/coefficient_reads.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "ops/error.hpp"
#include "tools/sentence_batches.hpp"

namespace ffmem::tools {
namespace {

/// A sequence to run and the reads whose prefixes it begins with.
struct Run {
  std::span<const TokenId> tokens;
  std::size_t depth = 0;  // the deepest layer that is read
  std::vector<std::size_t> reads;
};

/// Sequences that no other begins with, the shallow ones first, so that a batch goes no deeper than it must.
std::vector<Run> plan_runs(std::span<const CoefficientRead> reads) {
  std::vector<std::size_t> order(reads.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) -> const std::vector<TokenId>& { return reads[i].tokens; });
  std::vector<Run> runs;
  // From the end: what is a prefix of something stands before it.
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    const CoefficientRead& read = reads[*i];
    const bool begins_last = !runs.empty() && read.tokens.size() <= runs.back().tokens.size() &&
                             std::ranges::equal(read.tokens, runs.back().tokens.first(read.tokens.size()));
    if (!begins_last) runs.push_back({.tokens = read.tokens, .reads = {}});
    runs.back().depth = std::max(runs.back().depth, read.layer);
    runs.back().reads.push_back(*i);
  }
  std::ranges::stable_sort(runs, {}, &Run::depth);
  return runs;
}

/// Copies single coefficients out of a batch.
class PickCoefficients : public Hook {
 public:
  struct Pick {
    std::size_t row = 0;
    std::size_t unit = 0;
    float* out = nullptr;
  };
  explicit PickCoefficients(std::size_t n_layers) : picks_(n_layers) {}

  void clear() {
    for (auto& picks : picks_) picks.clear();
  }
  void add(std::size_t layer, const Pick& pick) { picks_[layer].push_back(pick); }

  Access access(Point point, std::size_t layer) const override {
    return point == Point::coefficients && !picks_[layer].empty() ? Access::read : Access::none;
  }

  void read(const PointView& view) override {
    for (const Pick& pick : picks_[view.layer]) {
      if (pick.row < view.first_row || pick.row - view.first_row >= view.values.rows) continue;
      *pick.out = view.values.row(pick.row - view.first_row)[pick.unit];
    }
  }

 private:
  std::vector<std::vector<Pick>> picks_;  // by layer
};

class Runner {
 public:
  Runner(std::shared_ptr<const Model> model, std::span<const CoefficientRead> reads, const CoefficientReadOptions& options,
         std::size_t longest)
      : reads_(reads),
        options_(options),
        max_rows_(std::max(options.batch_tokens, longest)),
        max_sequences_(sequences_of(options.batch_tokens)),
        hook_(model->config().n_layers),
        found_(reads.size(), std::numeric_limits<float>::quiet_NaN()),
        session_(std::move(model), {.max_sequences = max_sequences_,
                                    .context = longest,
                                    .max_batch_tokens = max_rows_,
                                    .keep_cache = false,
                                    .n_threads = options.n_threads}) {}

  /// Adds a run to the batch, running what was gathered before where there is no room.
  void add(const Run& run) {
    const std::size_t n_prefix = options_.prefix_token ? 1 : 0;
    if (tokens_.size() + n_prefix + run.tokens.size() > max_rows_ || offsets_.size() > max_sequences_) flush();
    const std::size_t first = tokens_.size();
    if (options_.prefix_token) tokens_.push_back(*options_.prefix_token);
    tokens_.insert(tokens_.end(), run.tokens.begin(), run.tokens.end());
    offsets_.push_back(tokens_.size());
    for (const std::size_t i : run.reads) {
      const std::size_t row = first + n_prefix + reads_[i].tokens.size() - 1;
      hook_.add(reads_[i].layer, {.row = row, .unit = reads_[i].unit, .out = &found_[i]});
    }
  }

  void flush() {
    if (tokens_.empty()) return;
    const std::array<Hook*, 1> hooks{&hook_};
    session_.run({.tokens = tokens_, .offsets = offsets_}, LogitsRows::none, hooks);
    n_done_ += tokens_.size();
    tokens_.clear();
    offsets_.assign(1, 0);
    hook_.clear();
  }

  std::size_t n_done() const noexcept { return n_done_; }
  const std::vector<float>& found() const noexcept { return found_; }

 private:
  std::span<const CoefficientRead> reads_;
  const CoefficientReadOptions& options_;
  std::size_t max_rows_;
  std::size_t max_sequences_;
  PickCoefficients hook_;
  std::vector<float> found_;
  Session session_;
  std::vector<TokenId> tokens_;
  std::vector<std::size_t> offsets_{0};
  std::size_t n_done_ = 0;
};

void check(const ModelConfig& config, std::span<const CoefficientRead> reads) {
  for (const CoefficientRead& read : reads) {
    if (read.layer >= config.n_layers) {
      fail(ErrorCode::layer_out_of_range, "layer ", read.layer, ": there are layers 0 to ", config.n_layers - 1);
    }
    if (read.unit >= config.d_memory) {
      fail(ErrorCode::unit_out_of_range, "unit ", read.unit, ": there are units 0 to ", config.d_memory - 1);
    }
    if (read.tokens.empty()) fail(ErrorCode::argument_invalid, "a prefix has no tokens");
  }
}

}  // namespace

std::vector<float> read_coefficients(const std::shared_ptr<const Model>& model, std::span<const CoefficientRead> reads,
                                     const CoefficientReadOptions& options) {
  check(model->config(), reads);
  if (reads.empty()) return {};
  const std::vector<Run> runs = plan_runs(reads);
  const std::size_t n_prefix = options.prefix_token ? 1 : 0;
  std::size_t longest = 0;
  std::size_t n_tokens = 0;
  for (const Run& run : runs) {
    longest = std::max(longest, n_prefix + run.tokens.size());
    n_tokens += n_prefix + run.tokens.size();
  }
  Runner runner(model, reads, options, longest);
  for (std::size_t done = 0; const Run& run : runs) {
    runner.add(run);
    if (options.progress && runner.n_done() != done) options.progress(done = runner.n_done(), n_tokens, runner.found());
  }
  runner.flush();
  if (options.progress) options.progress(n_tokens, n_tokens, runner.found());
  return runner.found();
}

}  // namespace ffmem::tools
