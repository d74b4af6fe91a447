#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "bench/operators.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/rounding.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "ops/threads.hpp"

namespace ffmem::bench {
namespace {

using benchmark::State;

// Caches with the same keys and values of every position.
class Caches {
 public:
  // kv [positions, width]: the keys, and the values.
  Caches(const Backend& backend, const AttentionShape& shape, ConstMatrixView kv, std::size_t n)
      : capacity_(round_up(kv.rows, kKeyBlock)), size_(capacity_ * kv.cols), keys_(n * size_), values_(n * size_) {
    for (std::size_t i = 0; i < n; ++i) {
      const SequenceRows all{0, kv.rows, 0, at(i)};
      backend.append_kv(shape, kv, kv, {&all, 1});
    }
  }

  KvCacheView at(std::size_t i) const { return {keys_.data() + i * size_, values_.data() + i * size_, capacity_}; }

 private:
  std::size_t capacity_;
  std::size_t size_;
  AlignedBuffer keys_;
  AlignedBuffer values_;
};

// 12 heads of 64.
constexpr AttentionShape kPlain{.n_heads = 12, .n_kv_heads = 12, .head_dim = 64, .scale = 0.125F};

// The keys that a position sees.
std::size_t n_seen(const AttentionShape& shape, std::size_t position) {
  return shape.window == 0 ? position + 1 : std::min(position + 1, shape.window);
}

// Attention of the last `rows` of `past + rows` positions. One row waits for the keys and values, which come from memory: it
// takes caches in turn.
void attention(State& state, const std::string& isa, const AttentionShape& shape, std::size_t past, std::size_t rows) {
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const std::size_t positions = past + rows;
  const std::size_t width = shape.n_heads * shape.head_dim;
  const std::size_t kv_width = shape.n_kv_heads * shape.head_dim;
  const AlignedBuffer kv = normal_values(positions * kv_width, 1);
  const std::size_t read_bytes = 2 * n_seen(shape, past) * kv_width * sizeof(float);  // by one row
  const std::size_t n_caches = rows == 1 ? copies_in_turn(read_bytes) : 1;
  const Caches caches(*backend, shape, kv.matrix(positions, kv_width), n_caches);
  const AlignedBuffer queries = normal_values(rows * width, 2);
  const MatrixView q = queries.matrix(rows, width);
  const AlignedBuffer out(rows * width);
  const AlignedBuffer expected(rows * width);
  const auto attend = [&](const Backend& b, std::size_t i, const AlignedBuffer& to) {
    const SequenceRows last{0, rows, past, caches.at(i)};
    b.attention(shape, q, {&last, 1}, to.matrix(rows, width));
  };
  attend(*backend, 0, out);
  attend(*make_scalar_backend(), 0, expected);
  if (!close(out.matrix(rows, width), expected.matrix(rows, width), 1e-4)) return skip_as_wrong(state);
  std::size_t pairs = 0;
  for (std::size_t t = 0; t < rows; ++t) pairs += n_seen(shape, past + t);
  const Work work{.flops = 4.0 * static_cast<double>(width * pairs),
                  .bytes = rows == 1 ? static_cast<double>(read_bytes) : 0.0};
  time_work(state, isa, work, [&, i = std::size_t{0}]() mutable {
    attend(*backend, i, out);
    i = i + 1 == n_caches ? 0 : i + 1;
  });
}

// The keys and values of 512 positions, 12 heads of 64, written to a cache.
void append_kv(State& state, const std::string& isa) {
  constexpr std::size_t kRows = 512;
  constexpr std::size_t kWidth = 768;
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  const AttentionShape shape{.n_heads = 12, .n_kv_heads = 12, .head_dim = 64};
  const AlignedBuffer k = normal_values(kRows * kWidth, 1);
  const AlignedBuffer v = normal_values(kRows * kWidth, 2);
  const AlignedBuffer cache(2 * kRows * kWidth);
  const AlignedBuffer expected(2 * kRows * kWidth);
  const auto append = [&](const Backend& b, const AlignedBuffer& to) {
    const SequenceRows all{0, kRows, 0, {to.data(), to.data() + kRows * kWidth, kRows}};
    b.append_kv(shape, k.matrix(kRows, kWidth), v.matrix(kRows, kWidth), {&all, 1});
  };
  append(*backend, cache);
  append(*make_scalar_backend(), expected);
  if (!close(cache.matrix(1, cache.size()), expected.matrix(1, expected.size()), 0)) return skip_as_wrong(state);
  time_elements(state, cache.size(), [&] { append(*backend, cache); });
}

// 64 rows of 12 heads of 64, all of whose dimensions turn.
void rotary(State& state, const std::string& isa, RotaryLayout layout) {
  constexpr std::size_t kRows = 64;
  constexpr std::size_t kHeadDim = 64;
  constexpr std::size_t kWidth = 12 * kHeadDim;
  const ThreadScope threads(bench_threads());
  const auto backend = make_cpu_backend(isa);
  AlignedBuffer cosines(kRows * kHeadDim / 2);
  AlignedBuffer sines(kRows * kHeadDim / 2);
  for (std::size_t i = 0; i < cosines.size(); ++i) {
    cosines.data()[i] = std::cos(0.01F * static_cast<float>(i));
    sines.data()[i] = std::sin(0.01F * static_cast<float>(i));
  }
  const RotaryTable table{cosines.data(), sines.data(), kRows, kHeadDim, layout};
  std::vector<std::uint32_t> positions(kRows);
  for (std::size_t t = 0; t < kRows; ++t) positions[t] = static_cast<std::uint32_t>(t);
  const AlignedBuffer x = normal_values(kRows * kWidth, 1);
  const AlignedBuffer expected = normal_values(kRows * kWidth, 1);
  backend->rotary(x.matrix(kRows, kWidth), kHeadDim, positions, table);
  make_scalar_backend()->rotary(expected.matrix(kRows, kWidth), kHeadDim, positions, table);
  if (!close(x.matrix(kRows, kWidth), expected.matrix(kRows, kWidth), 1e-6)) return skip_as_wrong(state);
  time_elements(state, x.size(),
                [&] { backend->rotary(x.matrix(kRows, kWidth), kHeadDim, positions, table); });  // turns on: lengths stay
}

void register_shape(const std::string& isa, const std::string& name, const AttentionShape& shape, std::size_t n) {
  benchmark::RegisterBenchmark((name + "/prefill/" + std::to_string(n) + "/" + isa).c_str(),
                               [=](State& state) { attention(state, isa, shape, 0, n); });
  benchmark::RegisterBenchmark((name + "/decode/" + std::to_string(n) + "/" + isa).c_str(),
                               [=](State& state) { attention(state, isa, shape, n - 1, 1); });
}

// What families other than GPT-2 add to the plain shape, one thing at a time.
void register_variants(const std::string& isa) {
  static constexpr std::array<float, kPlain.n_heads> kSlopes = {0.5F,   0.35F,  0.25F,  0.18F,  0.125F, 0.088F,
                                                                0.063F, 0.044F, 0.031F, 0.022F, 0.016F, 0.011F};
  AttentionShape grouped = kPlain;
  grouped.n_kv_heads = 3;
  AttentionShape windowed = kPlain;
  windowed.window = 512;
  AttentionShape capped = kPlain;
  capped.softcap = 50.0F;
  AttentionShape alibi = kPlain;
  alibi.alibi_slopes = kSlopes.data();
  register_shape(isa, "attention_grouped", grouped, 1024);
  register_shape(isa, "attention_windowed", windowed, 1024);
  register_shape(isa, "attention_capped", capped, 1024);
  register_shape(isa, "attention_alibi", alibi, 1024);
}

}  // namespace

void register_attention(const std::string& isa) {
  for (const std::size_t n : std::initializer_list<std::size_t>{256, 512, 1024, 2048})
    register_shape(isa, "attention", kPlain, n);
  register_variants(isa);
  benchmark::RegisterBenchmark(("append_kv/512x768/" + isa).c_str(), [=](State& state) { append_kv(state, isa); });
  for (const RotaryLayout layout : {RotaryLayout::halves, RotaryLayout::pairs}) {
    const std::string name = layout == RotaryLayout::halves ? "rotary_halves/64x768/" : "rotary_pairs/64x768/";
    benchmark::RegisterBenchmark((name + isa).c_str(), [=](State& state) { rotary(state, isa, layout); });
  }
}

}  // namespace ffmem::bench
