#include "ops/cpu/cpu_attention.hpp"

#include <algorithm>

#include "ops/parallel.hpp"
#include "ops/rounding.hpp"

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
struct Tasks {
  std::size_t group;  // query heads per key/value head
  std::size_t n_kv_heads;

  std::size_t per_head(const SequenceRows& s) const { return ceil_div(s.n_rows * group, AttentionBlock::kMaxQueries); }
  std::size_t of(const SequenceRows& s) const { return per_head(s) * n_kv_heads; }
};

void attend(const KernelTable& kernels, const AttentionShape& shape, const Tasks& tasks, const SequenceRows& sequence,
            std::size_t task, ConstMatrixView q, MatrixView out) {
  const std::size_t d = shape.head_dim;
  const std::size_t kv_head = task / tasks.per_head(sequence);
  // From the back: a head's last queries see the most keys, and long tasks should not come last.
  const std::size_t block_index = tasks.per_head(sequence) - 1 - task % tasks.per_head(sequence);
  const std::size_t begin = block_index * AttentionBlock::kMaxQueries;
  AttentionBlock block;
  block.keys = sequence.cache.keys + kv_head * sequence.cache.capacity * d;
  block.values = sequence.cache.values + kv_head * sequence.cache.capacity * d;
  block.head_dim = d;
  block.n_queries = std::min(AttentionBlock::kMaxQueries, sequence.n_rows * tasks.group - begin);
  block.scale = shape.scale;
  block.softcap = shape.softcap;
  block.window = shape.window;
  for (std::size_t i = 0; i < block.n_queries; ++i) {
    const std::size_t t = (begin + i) / tasks.group;
    const std::size_t head = kv_head * tasks.group + (begin + i) % tasks.group;
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
  const Tasks tasks{shape.n_heads / shape.n_kv_heads, shape.n_kv_heads};
  std::size_t n = 0;
  std::size_t work = 0;
  for (const SequenceRows& sequence : sequences) {
    n += tasks.of(sequence);
    work += sequence.n_rows * (sequence.past + sequence.n_rows) * shape.n_heads * shape.head_dim;
  }
  if (n == 0) return;
  parallel_tasks(n, work / n, [&](std::size_t task) {
    std::size_t s = 0;
    while (task >= tasks.of(sequences[s])) task -= tasks.of(sequences[s++]);
    attend(kernels, shape, tasks, sequences[s], task, q, out);
  });
}

}  // namespace ffmem
