#include "runtime/session.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "ops/error.hpp"
#include "ops/row_buffer.hpp"
#include "ops/threads.hpp"
#include "runtime/forward.hpp"
#include "runtime/hook_plan.hpp"
#include "runtime/kv_cache.hpp"
#include "runtime/output_head.hpp"
#include "runtime/positions.hpp"
#include "runtime/session_arguments.hpp"
#include "runtime/workspace.hpp"

namespace ffmem {
namespace {

/// Rows of logits that exist at once when only a hook reads them.
constexpr std::size_t kLogitsRows = 64;

/// That a session is not used again before its run is over: by a hook, whose calls come from within.
class OnlyRun {
 public:
  explicit OnlyRun(bool& running) : running_(running) {
    check(running);
    running_ = true;
  }
  ~OnlyRun() { running_ = false; }
  OnlyRun(const OnlyRun&) = delete;
  OnlyRun& operator=(const OnlyRun&) = delete;

  static void check(bool running) {
    if (!running) return;
    fail(ErrorCode::argument_invalid, "the session's run is under way: a hook may use another session, not this one");
  }

 private:
  bool& running_;
};

}  // namespace

struct Session::State {
  State(std::shared_ptr<const Model> model_, const SessionOptions& options_)
      : model(std::move(model_)),
        options(resolve_options(model->config(), options_)),
        tables(model->config(), options.context),
        cache(model->config(), options.keep_cache, options.max_sequences, options.context, options.max_batch_tokens),
        workspace(model->config(), options.max_batch_tokens),
        lengths(options.max_sequences, 0),
        plan(model->config().n_layers),
        by_layer(model->config().n_layers) {}

  void describe_rows(const RaggedBatch& batch);
  ConstMatrixView output(MatrixView residual, LogitsRows rows, std::size_t n_sequences);
  ConstMatrixView logits_of(ConstMatrixView hidden, std::span<const RowOrigin> row_origins);
  void show_logits(ConstMatrixView hidden);
  MatrixView hidden_rows(ConstMatrixView residual, bool every_row, std::size_t n_sequences);
  void score(ConstMatrixView hidden, MatrixView out) const;
  std::size_t& length_of(std::size_t slot);

  std::shared_ptr<const Model> model;
  SessionOptions options;
  PositionTables tables;
  KvCache cache;
  Workspace workspace;
  std::vector<std::size_t> lengths;  // [max_sequences]
  bool running = false;

  // Of the current run.
  HookPlan plan;
  std::vector<std::uint32_t> positions;             // [T]
  std::vector<TokenId> position_rows;               // [T]
  std::vector<RowOrigin> origins;                   // [T]
  std::vector<RowOrigin> last_origins;              // [n_sequences]
  std::vector<SequenceRows> sequences;              // [n_sequences]
  std::vector<std::vector<SequenceRows>> by_layer;  // [L][n_sequences]
  RowBuffer last_residual;                          // [n_sequences, d]
  RowBuffer hidden_buffer;                          // [rows, hidden width]
  AlignedBuffer logits;                             // [rows, V]
};

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options) {
  if (!model) fail(ErrorCode::argument_invalid, "a session needs a model, found null");
  state_ = std::make_unique<State>(std::move(model), options);
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

ConstMatrixView Session::run(const RaggedBatch& batch, LogitsRows logits, std::span<Hook* const> hooks) & {
  State& s = *state_;
  const OnlyRun only(s.running);
  const ThreadScope threads(s.options.n_threads);
  check_batch(batch, s.options, s.lengths, s.model->config().vocab_size);
  s.describe_rows(batch);
  s.plan.ask(hooks);
  const bool wants_output = logits != LogitsRows::none || s.plan.wants(Point::final_hidden) || s.plan.wants(Point::logits);
  const BatchRows rows{.tokens = batch.tokens,
                       .positions = s.positions,
                       .position_rows = s.position_rows,
                       .origins = s.origins,
                       .sequences = s.by_layer};
  const bool stop_early = !wants_output && !s.options.keep_cache;
  const MatrixView residual = forward(*s.model, s.tables, rows, s.plan, stop_early, s.workspace);
  const ConstMatrixView result = wants_output ? s.output(residual, logits, s.sequences.size()) : ConstMatrixView{};
  if (s.options.keep_cache) {
    for (std::size_t i = 0; i < s.sequences.size(); ++i) s.lengths[i] += s.sequences[i].n_rows;
  }
  return result;
}

ConstMatrixView Session::run(std::span<const TokenId> tokens, LogitsRows logits, std::span<Hook* const> hooks) & {
  const std::array<std::size_t, 2> offsets{0, tokens.size()};
  return run(RaggedBatch{.tokens = tokens, .offsets = offsets}, logits, hooks);
}

void Session::State::describe_rows(const RaggedBatch& batch) {
  positions.clear();
  position_rows.clear();
  origins.clear();
  last_origins.clear();
  sequences.clear();
  for (std::size_t i = 0; i + 1 < batch.offsets.size(); ++i) {
    const std::size_t begin = batch.offsets[i];
    const std::size_t n_rows = batch.offsets[i + 1] - begin;
    const std::size_t past = options.keep_cache ? lengths[i] : 0;
    sequences.push_back({.first_row = begin, .n_rows = n_rows, .past = past, .cache = {}});
    for (std::size_t p = past; p < past + n_rows; ++p) {
      positions.push_back(static_cast<std::uint32_t>(p));
      position_rows.push_back(static_cast<TokenId>(p + model->config().position_offset));
      origins.push_back({.sequence = static_cast<std::uint32_t>(i), .position = static_cast<std::uint32_t>(p)});
    }
    last_origins.push_back(origins.back());
    tables.reach(past + n_rows);
  }
  cache.place(sequences, by_layer);
}

/// Final norm, hooks at final_hidden, and the logits that the caller or a hook reads.
ConstMatrixView Session::State::output(MatrixView residual, LogitsRows rows, std::size_t n_sequences) {
  const bool every_row = rows != LogitsRows::last || plan.wants(Point::final_hidden);
  const MatrixView all_or_last = hidden_rows(residual, every_row, n_sequences);
  MatrixView result_rows = all_or_last;
  if (plan.wants(Point::final_hidden)) {
    plan.visit({Point::final_hidden, 0, 0, all_or_last, origins, &model->backend()});
    if (rows == LogitsRows::last) {
      // The last rows move to the front; each moves forward only, so none is overwritten before it is read.
      for (std::size_t i = 0; i < n_sequences; ++i) {
        const std::size_t last = sequences[i].first_row + sequences[i].n_rows - 1;
        std::ranges::copy(all_or_last.row(last), all_or_last.row_data(i));
      }
      result_rows = all_or_last.rows_between(0, n_sequences);
    }
  }
  if (rows == LogitsRows::none) {
    if (plan.wants(Point::logits)) show_logits(result_rows);
    return {};
  }
  return logits_of(result_rows, rows == LogitsRows::last ? last_origins : origins);
}

MatrixView Session::State::hidden_rows(ConstMatrixView residual, bool every_row, std::size_t n_sequences) {
  const OutputHead& head = model->head();
  ConstMatrixView source = residual;
  if (!every_row) {
    if (!last_residual.holds(n_sequences, residual.cols)) last_residual = RowBuffer(options.max_sequences, residual.cols);
    const MatrixView last = last_residual.matrix(n_sequences, residual.cols);
    for (std::size_t i = 0; i < n_sequences; ++i) {
      std::ranges::copy(residual.row(sequences[i].first_row + sequences[i].n_rows - 1), last.row_data(i));
    }
    source = last;
  }
  if (!hidden_buffer.holds(source.rows, head.hidden_width())) {
    hidden_buffer = RowBuffer(every_row ? options.max_batch_tokens : options.max_sequences, head.hidden_width());
  }
  const MatrixView result = hidden_buffer.matrix(source.rows, head.hidden_width());
  head.to_hidden(source, Lens::final_norm, result);
  return result;
}

void Session::State::score(ConstMatrixView hidden, MatrixView out) const {
  if (model->head().has_logits()) {
    model->head().logits(hidden, out);
  } else {
    model->head().log_probabilities(hidden, out);
  }
}

ConstMatrixView Session::State::logits_of(ConstMatrixView hidden, std::span<const RowOrigin> row_origins) {
  const std::size_t vocab_size = model->config().vocab_size;
  logits.make_room(hidden.rows * vocab_size);
  const MatrixView result = logits.matrix(hidden.rows, vocab_size);
  score(hidden, result);
  if (plan.wants(Point::logits)) plan.visit({Point::logits, 0, 0, result, row_origins, &model->backend()});
  return result;
}

void Session::State::show_logits(ConstMatrixView hidden) {
  const std::size_t vocab_size = model->config().vocab_size;
  logits.make_room(kLogitsRows * vocab_size);
  for (std::size_t begin = 0; begin < hidden.rows; begin += kLogitsRows) {
    const std::size_t end = std::min(begin + kLogitsRows, hidden.rows);
    const MatrixView block = logits.matrix(end - begin, vocab_size);
    score(hidden.rows_between(begin, end), block);
    plan.visit({Point::logits, 0, begin, block, std::span(origins).subspan(begin, end - begin), &model->backend()});
  }
}

std::size_t& Session::State::length_of(std::size_t slot) {
  if (slot < lengths.size()) return lengths[slot];
  fail(ErrorCode::argument_invalid, "slot ", slot, ": the session has ", lengths.size());
}

void Session::truncate(std::size_t slot, std::size_t length) {
  OnlyRun::check(state_->running);
  std::size_t& current = state_->length_of(slot);
  current = std::min(current, length);
}

std::size_t Session::length(std::size_t slot) const { return state_->length_of(slot); }

std::size_t Session::context() const noexcept { return state_->options.context; }

bool Session::keeps_cache() const noexcept { return state_->options.keep_cache; }

const Model& Session::model() const noexcept { return *state_->model; }

Session::Memory Session::memory(const ModelConfig& config, const SessionOptions& options) {
  const SessionOptions o = resolve_options(config, options);
  return {.kv_cache_bytes = KvCache::bytes(config, o.keep_cache, o.max_sequences, o.context, o.max_batch_tokens),
          .workspace_bytes = workspace_bytes(config, o.max_batch_tokens) + PositionTables::bytes(config, o.context)};
}

}  // namespace ffmem
