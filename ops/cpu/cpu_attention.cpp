#include "ops/cpu/cpu_attention.hpp"

#include <algorithm>
#include <cassert>

#include "ops/parallel.hpp"

namespace ffmem {
namespace {

static_assert(AttentionBlock::kKeyLanes == kKeyBlock);

// Writes one head's keys and values of one sequence.
void append_head(const KernelTable& kernels, std::size_t head_dim, const SequenceRows& sequence, std::size_t head,
                 ConstMatrixView k, ConstMatrixView v) {
  const KvCacheView& cache = sequence.cache;
  float* keys = cache.keys + head * cache.capacity * head_dim;
  float* values = cache.values + head * cache.capacity * head_dim;
  for (std::size_t t = 0; t < sequence.n_rows;) {
    const std::size_t position = sequence.past + t;
    const std::size_t lane = position % kKeyBlock;
    const std::size_t n = std::min(kKeyBlock - lane, sequence.n_rows - t);
    const float* key = k.row_data(sequence.first_row + t) + head * head_dim;
    kernels.write_keys(key, k.stride, head_dim, n, keys + (position - lane) * head_dim, lane);
    for (std::size_t i = 0; i < n; ++i) {
      const float* value = v.row_data(sequence.first_row + t + i) + head * head_dim;
      std::copy_n(value, head_dim, values + (position + i) * head_dim);
    }
    t += n;
  }
}

// The queries of one sequence that read one key/value head, numbered row by row: query i is the i % group'th head of the group
// at row i / group. A task takes AttentionBlock::kMaxQueries of them; those of one head follow each other, so that its keys and
// values stay in cache.
//
// A sequence's tasks begin where its rows do, so that a task finds its sequence among many by halving: there is room for one
// task a head more than it may need, which has no queries.
class Tasks {
 public:
  Tasks(const AttentionShape& shape, std::span<const SequenceRows> sequences)
      : group_(shape.n_heads / shape.n_kv_heads), n_kv_heads_(shape.n_kv_heads), sequences_(sequences) {
    assert(std::ranges::adjacent_find(sequences, [](const SequenceRows& a, const SequenceRows& b) {
             return a.first_row + a.n_rows != b.first_row;
           }) == sequences.end());
  }

  std::size_t group() const { return group_; }
  std::size_t count() const { return sequences_.empty() ? 0 : end_of_head(sequences_.size() - 1) * n_kv_heads_; }

  struct Task {
    const SequenceRows& sequence;
    std::size_t kv_head;
    std::size_t begin;  // its queries [begin, end)
    std::size_t end;
  };
  Task at(std::size_t i) const {
    std::size_t s = 0;
    for (std::size_t n = sequences_.size(); n > 1;) {
      const std::size_t half = n / 2;
      if (begin_of_head(s + half) * n_kv_heads_ <= i) s += half;
      n -= half;
    }
    const SequenceRows& sequence = sequences_[s];
    const std::size_t per_head = end_of_head(s) - begin_of_head(s);
    const std::size_t in_sequence = i - begin_of_head(s) * n_kv_heads_;
    // From the back: a head's last queries see the most keys, and long tasks should not come last.
    const std::size_t begin = (per_head - 1 - in_sequence % per_head) * AttentionBlock::kMaxQueries;
    const std::size_t n_queries = sequence.n_rows * group_;
    return {sequence, in_sequence / per_head, std::min(begin, n_queries),
            std::min(begin + AttentionBlock::kMaxQueries, n_queries)};
  }

 private:
  // Where a sequence's tasks of one head begin and end, if there were no other head.
  std::size_t begin_of_head(std::size_t s) const {
    return (sequences_[s].first_row - sequences_[0].first_row) * group_ / AttentionBlock::kMaxQueries + s;
  }
  std::size_t end_of_head(std::size_t s) const {
    const std::size_t end_row = sequences_[s].first_row + sequences_[s].n_rows;
    return (end_row - sequences_[0].first_row) * group_ / AttentionBlock::kMaxQueries + s + 1;
  }

  std::size_t group_;  // query heads per key/value head
  std::size_t n_kv_heads_;
  std::span<const SequenceRows> sequences_;
};

void attend(const KernelTable& kernels, const AttentionShape& shape, const Tasks& tasks, const Tasks::Task& task,
            ConstMatrixView q, MatrixView out) {
  if (task.begin == task.end) return;
  const auto& [sequence, kv_head, begin, end] = task;
  const std::size_t d = shape.head_dim;
  AttentionBlock block;
  block.keys = sequence.cache.keys + kv_head * sequence.cache.capacity * d;
  block.values = sequence.cache.values + kv_head * sequence.cache.capacity * d;
  block.head_dim = d;
  block.n_queries = end - begin;
  block.scale = shape.scale;
  block.softcap = shape.softcap;
  block.window = shape.window;
  for (std::size_t i = 0; i < block.n_queries; ++i) {
    const std::size_t t = (begin + i) / tasks.group();
    const std::size_t head = kv_head * tasks.group() + (begin + i) % tasks.group();
    block.queries[i] = q.row_data(sequence.first_row + t) + head * d;
    block.outs[i] = out.row_data(sequence.first_row + t) + head * d;
    block.positions[i] = sequence.past + t;
    block.slopes[i] = shape.alibi_slopes != nullptr ? shape.alibi_slopes[head] : 0.0F;
  }
  kernels.attention(block);
}

}  // namespace

void cpu_append_kv(const KernelTable& kernels, const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                   std::span<const SequenceRows> sequences) {
  std::size_t rows = 0;
  for (const SequenceRows& sequence : sequences) rows += sequence.n_rows;
  const std::size_t n = sequences.size() * shape.n_kv_heads;
  const std::size_t work = n == 0 ? 0 : rows * shape.n_kv_heads * shape.head_dim / n;
  parallel_tasks(n, work, [&](std::size_t task) {
    append_head(kernels, shape.head_dim, sequences[task / shape.n_kv_heads], task % shape.n_kv_heads, k, v);
  });
}

void cpu_attention(const KernelTable& kernels, const AttentionShape& shape, ConstMatrixView q,
                   std::span<const SequenceRows> sequences, MatrixView out) {
  const Tasks tasks(shape, sequences);
  std::size_t work = 0;
  for (const SequenceRows& sequence : sequences) {
    work += sequence.n_rows * (sequence.past + sequence.n_rows) * shape.n_heads * shape.head_dim;
  }
  const std::size_t n = tasks.count();
  if (n == 0) return;
  parallel_tasks(n, work / n, [&](std::size_t i) { attend(kernels, shape, tasks, tasks.at(i), q, out); });
}

}  // namespace ffmem
