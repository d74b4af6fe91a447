#include <numeric>

#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

// Caches of some sequences; what no key was written to holds NaN, which must never come through.
struct Caches {
  std::vector<std::vector<float>> keys;
  std::vector<std::vector<float>> values;
  std::vector<SequenceRows> sequences;
  std::size_t capacity = 0;

  Caches(const AttentionShape& shape, const std::vector<std::size_t>& lengths) {
    for (const std::size_t n : lengths) capacity = std::max(capacity, (n + kKeyBlock - 1) / kKeyBlock * kKeyBlock);
    std::size_t row = 0;
    for (const std::size_t n : lengths) {
      keys.emplace_back(shape.n_kv_heads * capacity * shape.head_dim, NAN);
      values.emplace_back(shape.n_kv_heads * capacity * shape.head_dim, NAN);
      sequences.push_back({row, n, 0, {keys.back().data(), values.back().data(), capacity}});
      row += n;
    }
  }
};

struct Inputs {
  Matrix q;
  Matrix k;
  Matrix v;

  Inputs(const AttentionShape& shape, std::size_t rows)
      : q(normal_matrix(rows, shape.n_heads * shape.head_dim, 1, 3)),
        k(normal_matrix(rows, shape.n_kv_heads * shape.head_dim, 2, 5)),
        v(normal_matrix(rows, shape.n_kv_heads * shape.head_dim, 3, 1)) {}
};

AttentionShape make_shape(std::size_t n_heads, std::size_t n_kv_heads, std::size_t head_dim) {
  AttentionShape shape;
  shape.n_heads = n_heads;
  shape.n_kv_heads = n_kv_heads;
  shape.head_dim = head_dim;
  shape.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  return shape;
}

// Plain, grouped, windowed, capped and ALiBi attention over several head sizes.
std::vector<AttentionShape> shapes() {
  static const std::vector<float> slopes = {0.5F, 0.25F, 0.125F, 0.0625F};
  std::vector<AttentionShape> all;
  for (const std::size_t head_dim : {1, 3, 6, 12, 16, 20, 64, 72}) all.push_back(make_shape(2, 2, head_dim));
  all.push_back(make_shape(4, 2, 32));
  all.push_back(make_shape(6, 1, 20));
  all.push_back(make_shape(71, 1, 8));  // more than are scored at a time
  for (const std::size_t window : {1, 2, 5, 16, 100, 128, 129}) {
    all.push_back(make_shape(2, 1, 20));
    all.back().window = window;
  }
  all.push_back(make_shape(2, 2, 16));
  all.back().softcap = 3.0F;
  all.push_back(make_shape(4, 4, 20));
  all.back().alibi_slopes = slopes.data();
  all.push_back(make_shape(4, 2, 20));
  all.back().alibi_slopes = slopes.data();
  all.back().softcap = 2.0F;
  all.back().window = 37;
  return all;
}

void capture_free_check(const AttentionShape& shape, ConstMatrixView found, ConstMatrixView expected) {
  CAPTURE(shape.n_heads);
  CAPTURE(shape.n_kv_heads);
  CAPTURE(shape.head_dim);
  CAPTURE(shape.window);
  CAPTURE(shape.softcap);
  check_close(found, expected, 2e-6, 2e-6);
}

TEST_CASE("attention: a ragged batch matches the scalar version for every shape") {
  const std::vector<std::size_t> lengths = {0, 1, 130, 17, 0, 0, 261, 3, 36, 35, 0};
  const std::size_t rows = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  for_each_isa([&](const Backend& backend) {
    for (const AttentionShape& shape : shapes()) {
      const Inputs in(shape, rows);
      const Caches found_caches(shape, lengths);
      const Caches expected_caches(shape, lengths);
      Matrix found(rows, in.q.cols, 2);
      Matrix expected(rows, in.q.cols);
      backend.append_kv(shape, in.k.view(), in.v.view(), found_caches.sequences);
      scalar().append_kv(shape, in.k.view(), in.v.view(), expected_caches.sequences);
      for (std::size_t s = 0; s < lengths.size(); ++s) {
        CHECK(same_bits(found_caches.keys[s].data(), expected_caches.keys[s].data(), found_caches.keys[s].size()));
        CHECK(same_bits(found_caches.values[s].data(), expected_caches.values[s].data(), found_caches.values[s].size()));
      }
      backend.attention(shape, in.q.view(), found_caches.sequences, found.view());
      scalar().attention(shape, in.q.view(), expected_caches.sequences, expected.view());
      capture_free_check(shape, found.view(), expected.view());
    }
  });
}

// Attention of one sequence fed in pieces of the given sizes.
Matrix in_pieces(const Backend& backend, const AttentionShape& shape, const Inputs& in,
                 const std::vector<std::size_t>& pieces) {
  const std::size_t rows = in.q.rows;
  const Caches caches(shape, {rows});
  Matrix out(rows, in.q.cols);
  std::size_t past = 0;
  for (std::size_t i = 0; past < rows; ++i) {
    const std::size_t n = std::min(pieces[i % pieces.size()], rows - past);
    const SequenceRows sequence{0, n, past, caches.sequences[0].cache};
    backend.append_kv(shape, in.k.view().rows_between(past, past + n), in.v.view().rows_between(past, past + n),
                      {&sequence, 1});
    backend.attention(shape, in.q.view().rows_between(past, past + n), {&sequence, 1}, out.view().rows_between(past, past + n));
    past += n;
  }
  return out;
}

TEST_CASE(
    "attention: prefill, step-by-step decoding and any pieces give the same bits, with windows too, on any number of threads") {
  for_each_isa([](const Backend& backend) {
    for (const AttentionShape& shape : shapes()) {
      CAPTURE(shape.head_dim);
      CAPTURE(shape.window);
      const Inputs in(shape, 275);
      const Matrix prefilled = in_pieces(backend, shape, in, {275});
      const ThreadScope one_thread(1);
      CHECK(same_bits(in_pieces(backend, shape, in, {1}), prefilled));
      CHECK(same_bits(in_pieces(backend, shape, in, {3, 1, 16, 40, 7}), prefilled));
      for (const int threads : {1, 2, 5}) {
        const ThreadScope scope(threads);
        CHECK(same_bits(in_pieces(backend, shape, in, {275}), prefilled));
      }
    }
  });
}

TEST_CASE("attention: the same bits in prefill and decoding where all sums are negative zero") {
  for_each_isa([](const Backend& backend) {
    const AttentionShape shape = make_shape(2, 2, 20);
    Inputs in(shape, 40);
    std::fill(in.v.data.begin(), in.v.data.end(), -0.0F);
    CHECK(same_bits(in_pieces(backend, shape, in, {1}), in_pieces(backend, shape, in, {40})));
  });
}

TEST_CASE("attention: a sequence's bits do not depend on the other sequences of the batch") {
  for_each_isa([](const Backend& backend) {
    const AttentionShape shape = make_shape(4, 2, 20);
    const std::vector<std::size_t> lengths = {33, 140, 5};
    const Inputs in(shape, 178);
    const Caches together(shape, lengths);
    Matrix all(178, in.q.cols);
    backend.append_kv(shape, in.k.view(), in.v.view(), together.sequences);
    backend.attention(shape, in.q.view(), together.sequences, all.view());
    std::size_t row = 0;
    for (const std::size_t n : lengths) {
      const Caches alone(shape, {n});
      Matrix one(n, in.q.cols);
      backend.append_kv(shape, in.k.view().rows_between(row, row + n), in.v.view().rows_between(row, row + n), alone.sequences);
      backend.attention(shape, in.q.view().rows_between(row, row + n), alone.sequences, one.view());
      CHECK(same_bits(one.row(0), all.row(row), n * in.q.cols));
      row += n;
    }
  });
}

TEST_CASE("attention: keys behind a query, or out of its window, do not reach it at all") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t window : {0, 9}) {
      AttentionShape shape = make_shape(1, 1, 20);
      shape.window = window;
      const Inputs in(shape, 150);
      Inputs changed = in;
      // Row 139 sees 131 .. 139 with a window of 9.
      for (std::size_t t = 0; t < 150; ++t) {
        if (t <= 139 && (window == 0 || t >= 131)) continue;
        std::fill_n(changed.k.row(t), 20, t == 130 ? 1e30F : 1e3F);
        std::fill_n(changed.v.row(t), 20, NAN);
      }
      const Matrix before = in_pieces(backend, shape, in, {150});
      const Matrix after = in_pieces(backend, shape, changed, {150});
      CHECK(same_bits(before.row(139), after.row(139), 20));
    }
  });
}

TEST_CASE("attention: scores that overflow exp are harmless") {
  for_each_isa([](const Backend& backend) {
    const AttentionShape shape = make_shape(1, 1, 16);
    Inputs in(shape, 300);
    for (float& value : in.q.data) value *= 1000;
    const Caches caches(shape, {300});
    Matrix found(300, 16);
    Matrix expected(300, 16);
    backend.append_kv(shape, in.k.view(), in.v.view(), caches.sequences);
    backend.attention(shape, in.q.view(), caches.sequences, found.view());
    scalar().attention(shape, in.q.view(), caches.sequences, expected.view());
    // Scores of order 1,000 carry errors of order 1e-4, and so do the weights.
    check_close(found.view(), expected.view(), 2e-3, 2e-3);
  });
}

TEST_CASE("attention: no rows, no sequences") {
  for_each_isa([](const Backend& backend) {
    const AttentionShape shape = make_shape(1, 1, 16);
    const Caches caches(shape, {0, 0});
    Matrix none(0, 16);
    backend.append_kv(shape, none.view(), none.view(), caches.sequences);
    backend.attention(shape, none.view(), caches.sequences, none.view());
    backend.attention(shape, none.view(), {}, none.view());
  });
}

}  // namespace
}  // namespace ffmem
