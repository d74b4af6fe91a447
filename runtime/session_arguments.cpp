#include "runtime/session_arguments.hpp"

#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kMostRows = std::size_t{1} << 32;
constexpr double kMostCacheBytes = 1e18;  // so that no number of bytes overflows
constexpr int kMostThreads = 4096;        // far more than that, and OpenMP ends the process

}  // namespace

SessionOptions resolve_options(const ModelConfig& config, SessionOptions options) {
  if (options.context > config.max_positions) {
    fail(ErrorCode::context_exceeded, "a context of ", options.context, " positions: the model has ", config.max_positions);
  }
  if (options.max_sequences == 0) fail(ErrorCode::argument_invalid, "a session needs room for at least one sequence");
  if (options.context == 0) options.context = config.max_positions;
  if (options.context == 0) fail(ErrorCode::argument_invalid, "a session of no positions: the model's max_positions is 0");
  if (options.n_threads > kMostThreads) {
    fail(ErrorCode::argument_invalid, "a session of ", options.n_threads, " threads: expected at most ", kMostThreads);
  }
  if (options.max_batch_tokens == 0) options.max_batch_tokens = options.context;
  if (options.max_sequences > kMostRows / options.context || options.max_batch_tokens > kMostRows) {
    fail(ErrorCode::argument_invalid, "a session of ", options.max_sequences, " sequences of ", options.context,
         " positions and batches of ", options.max_batch_tokens, " tokens: expected at most ", kMostRows, " of each in all");
  }
  const double cache_bytes = 2.0 * sizeof(float) * static_cast<double>(config.n_layers) *
                             static_cast<double>(options.max_sequences) * static_cast<double>(options.context) *
                             static_cast<double>(config.n_kv_heads) * static_cast<double>(config.head_dim);
  if (cache_bytes > kMostCacheBytes) {
    fail(ErrorCode::argument_invalid, "a session of ", options.max_sequences, " sequences of ", options.context,
         " positions: expected a cache of at most ", kMostCacheBytes, " bytes, found ", cache_bytes);
  }
  return options;
}

void check_batch(const RaggedBatch& batch, const SessionOptions& options, std::span<const std::size_t> lengths,
                 std::size_t vocab_size) {
  const std::span<const std::size_t> offsets = batch.offsets;
  if (offsets.size() < 2 || offsets.front() != 0 || offsets.back() != batch.tokens.size()) {
    fail(ErrorCode::argument_invalid, "a batch needs offsets from 0 to its ", batch.tokens.size(), " tokens, and a sequence");
  }
  if (offsets.size() - 1 > options.max_sequences) {
    fail(ErrorCode::argument_invalid, "a batch of ", offsets.size() - 1, " sequences: the session has room for ",
         options.max_sequences);
  }
  if (batch.tokens.size() > options.max_batch_tokens) {
    fail(ErrorCode::context_exceeded, "a batch of ", batch.tokens.size(), " tokens: the session has room for ",
         options.max_batch_tokens);
  }
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i] >= offsets[i + 1]) fail(ErrorCode::argument_invalid, "sequence ", i, " of the batch has no tokens");
    const std::size_t past = options.keep_cache ? lengths[i] : 0;
    const std::size_t end = past + (offsets[i + 1] - offsets[i]);
    if (end > options.context) {
      fail(ErrorCode::context_exceeded, "sequence ", i, " would reach ", end, " tokens: the context is ", options.context);
    }
  }
  for (std::size_t t = 0; t < batch.tokens.size(); ++t) {
    if (batch.tokens[t] < 0 || static_cast<std::size_t>(batch.tokens[t]) >= vocab_size) {
      fail(ErrorCode::token_out_of_range, "token id ", batch.tokens[t], " (number ", t,
           " of the batch): the vocabulary has ids 0 to ", vocab_size - 1);
    }
  }
}

}  // namespace ffmem
