// Running a model: a Session owns the KV cache and the workspace of one thread's forward passes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "hooks/hook.hpp"
#include "runtime/model.hpp"

namespace ffmem {

struct SessionOptions {
  std::size_t max_sequences = 1;     // slots; with keep_cache, each has a cache of `context` positions
  std::size_t context = 0;           // positions a sequence may reach; 0: the model's own limit
  std::size_t max_batch_tokens = 0;  // rows of one run; 0: context
  // False: every run starts its sequences anew, and one layer's cache of max_batch_tokens positions, each sequence's
  // rounded up to blocks, serves all layers and slots (corpus passes).
  bool keep_cache = true;
  // OpenMP threads of a run; 0 or less: as available. On a busy machine set GOMP_SPINCOUNT (README). Where the system refuses
  // to start them, OpenMP ends the process. In a fork()ed child the thread that has run something is alone (ops/threads.hpp).
  int n_threads = 0;
};

/// Which rows' logits a run returns. A hook at `logits` sees those same rows; with `none` and such a hook, all rows.
enum class LogitsRows { none, last, all };  // last: each sequence's last row

/// Token ids laid end to end plus offsets: sequence s is tokens [offsets[s], offsets[s + 1]), for slot s. No padding. A slot
/// that has ended before others goes on with any one token and is truncated to 0 where it reaches the context.
struct RaggedBatch {
  std::span<const TokenId> tokens;
  std::span<const std::size_t> offsets;  // [n_sequences + 1], from 0, each sequence has at least one token
};

/// For one thread at a time. One that was moved from may only be destroyed or assigned to. Not to be run by destructors of
/// static objects: the working room of the main thread is gone by then.
class Session {
 public:
  /// Throws context_exceeded (context beyond the model's limit), argument_invalid (no model, sequence or position, more than
  /// 2^32 positions or batch tokens in all, a cache of more than 10^18 bytes, more than 4,096 threads), std::bad_alloc.
  explicit Session(std::shared_ptr<const Model> model, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  /// One forward pass: sequence s of the batch goes on where slot s stands. Returns logits [rows, V] (log-probabilities for
  /// models with an adaptive softmax), none of them with LogitsRows::none, valid until the next run and as long as the session.
  /// `hooks` are called in order and forgotten afterwards. Work that nothing reads is not done: without a cache to keep, a run
  /// ends behind the last point a hook asked for. Throws token_out_of_range, context_exceeded (also for too many tokens),
  /// argument_invalid (offsets that do not fit, too many sequences, a null hook, a call from a hook of this session's own run),
  /// backend_failed, std::bad_alloc, and whatever a hook throws; the slots then stand where they stood before the run.
  ConstMatrixView run(const RaggedBatch& batch, LogitsRows logits, std::span<Hook* const> hooks = {}) &;

  /// The same for a single sequence in slot 0.
  ConstMatrixView run(std::span<const TokenId> tokens, LogitsRows logits, std::span<Hook* const> hooks = {}) &;

  /// The same for its hooks alone: a session that ends with the expression would take the logits along.
  void run(const RaggedBatch& batch, LogitsRows logits, std::span<Hook* const> hooks = {}) && { run(batch, logits, hooks); }
  void run(std::span<const TokenId> tokens, LogitsRows logits, std::span<Hook* const> hooks = {}) && {
    run(tokens, logits, hooks);
  }

  /// Forgets the slot beyond `length` positions. Throws argument_invalid for a slot that the session has not, and from a hook
  /// of its run.
  void truncate(std::size_t slot, std::size_t length);

  /// Positions that the slot holds. Throws argument_invalid for a slot that the session has not.
  std::size_t length(std::size_t slot) const;

  /// Positions that a sequence may reach, whether the options or the model set them.
  std::size_t context() const noexcept;

  /// Whether a run goes on where the one before ended (SessionOptions::keep_cache).
  bool keeps_cache() const noexcept;

  /// The model it was made with, which it keeps alive: valid as long as the session.
  const Model& model() const noexcept;

  /// Bytes that a session with these options holds. On top come, with the first run that needs them: final hidden states,
  /// [max_batch_tokens, d'], or [max_sequences, d + d'] as long as only last rows were asked for; logits, [rows, V] of the
  /// largest such run; and lists of about 48 L bytes a sequence and 16 a row. Allocates nothing; throws as the constructor
  /// does.
  struct Memory {
    std::size_t kv_cache_bytes = 0;
    std::size_t workspace_bytes = 0;
  };
  static Memory memory(const ModelConfig& config, const SessionOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ffmem
