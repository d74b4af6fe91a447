// The operators that scan rows: log_sum_exp, top_k, keep_larger, find_above.
#include <algorithm>
#include <limits>
#include <numeric>

#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_CASE("log_sum_exp: matches the scalar version up to vocabulary size") {
  for_each_isa([](const Backend& backend) {
    std::vector<std::size_t> lengths = edge_lengths();
    for (const std::size_t n : {1023, 1024, 1025, 50257, 262144}) lengths.push_back(n);
    for (const std::size_t n : lengths) {
      CAPTURE(n);
      Matrix x(2, n, 1);
      fill_normal(x.data, 1, 5.0F);
      for (std::size_t i = 0; i < n; ++i) x.row(1)[i] -= 1000;
      Matrix found(1, 2);
      Matrix expected(1, 2);
      backend.log_sum_exp(x.view(), found.row(0));
      scalar().log_sum_exp(x.view(), expected.row(0));
      check_close(found.view(), expected.view(), 1e-7, 5e-7);
    }
  });
}

TEST_CASE("log_sum_exp: infinities and NaN") {
  for_each_isa([](const Backend& backend) {
    Matrix x(6, 21);
    std::fill_n(x.row(0), 21, -kInfinity);
    x.row(1)[20] = kInfinity;
    std::fill_n(x.row(2), 21, -kInfinity);
    x.row(2)[17] = 3;
    x.row(3)[5] = kNan;
    std::fill_n(x.row(4), 21, -kInfinity);
    x.row(4)[6] = kNan;
    x.row(5)[7] = kInfinity;
    x.row(5)[19] = kNan;
    std::vector<float> out(6);
    backend.log_sum_exp(x.view(), out.data());
    CHECK(out[0] == -kInfinity);
    CHECK(out[1] == kInfinity);
    CHECK(out[2] == 3);
    for (const std::size_t t : {3, 4, 5}) CHECK(std::isnan(out[t]));
  });
}

TEST_CASE("log_sum_exp: gives the largest element, in a row with NaN that of its numbers or NaN") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t n : edge_lengths()) {
      CAPTURE(n);
      Matrix x = normal_matrix(4, n, 1);
      x.row(1)[n - 1] = kNan;
      x.row(2)[0] = kNan;
      std::fill_n(x.row(3), n, -kInfinity);
      std::vector<float> out(4);
      std::vector<float> largest(4);
      backend.log_sum_exp(x.view(), out.data(), largest.data());
      CHECK(largest[0] == *std::max_element(x.row(0), x.row(0) + n));
      for (const std::size_t t : {1, 2}) {
        CHECK(std::isnan(out[t]));
        const float most = std::accumulate(x.row(t), x.row(t) + n, -kInfinity, [](float a, float b) { return b > a ? b : a; });
        CHECK((std::isnan(largest[t]) || largest[t] == most));
      }
      CHECK(largest[3] == -kInfinity);
      CHECK(out[3] == -kInfinity);
    }
  });
}

TEST_CASE("log_sum_exp: elements far below the largest add nothing that shows") {
  for_each_isa([](const Backend& backend) {
    for (const float depth : {80.0F, 84.0F, 87.0F, 200.0F, 1e30F}) {
      Matrix x(1, 2000);
      std::fill_n(x.row(0), 2000, -depth);
      x.row(0)[1234] = 0.0F;
      float out = 1.0F;
      backend.log_sum_exp(x.view(), &out);
      CHECK(out == 0.0F);
    }
  });
}

TEST_CASE("log_sum_exp: a row's bits depend on neither its neighbours nor the number of threads") {
  for_each_isa([](const Backend& backend) {
    const Matrix x = normal_matrix(40, 1100, 1);
    std::vector<float> all(40);
    for (const int threads : {1, 2, 3}) {
      const ThreadScope scope(threads);
      backend.log_sum_exp(x.view(), all.data());
      for (std::size_t t = 0; t < 40; ++t) {
        float one = 0;
        backend.log_sum_exp(x.view().rows_between(t, t + 1), &one);
        CHECK(same_bits(&one, &all[t], 1));
      }
    }
  });
}

void check_top_k(const Backend& backend, const Matrix& x, std::size_t k) {
  CAPTURE(k);
  std::vector<std::uint32_t> indices(x.rows * k);
  std::vector<std::uint32_t> expected_indices(x.rows * k);
  std::vector<float> values(x.rows * k);
  std::vector<float> expected_values(x.rows * k);
  backend.top_k(x.view(), k, indices.data(), values.data());
  scalar().top_k(x.view(), k, expected_indices.data(), expected_values.data());
  CHECK(indices == expected_indices);
  CHECK(same_bits(values.data(), expected_values.data(), values.size()));
}

TEST_CASE("top_k: is the scalar version's, for random, sorted, equal and few distinct values") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t n : {1, 5, 16, 64, 100, 1000, 5000}) {
      CAPTURE(n);
      Matrix x = normal_matrix(6, n, 1, 3);
      std::sort(x.row(1), x.row(1) + n);
      std::sort(x.row(2), x.row(2) + n, std::greater<>());
      std::fill_n(x.row(3), n, 1.5F);
      for (std::size_t i = 0; i < n; ++i) x.row(4)[i] = std::round(x.row(4)[i]);
      for (std::size_t i = 0; i < n; ++i) x.row(5)[i] = i % 2 == 0 ? -0.0F : 0.0F;
      for (const std::size_t k : {1, 2, 10, 64, 1000}) {
        if (k <= n) check_top_k(backend, x, k);
      }
      check_top_k(backend, x, n);
    }
  });
}

// x piece by piece, with and without what log_sum_exp says of each piece, and whole.
void check_pieces(const Backend& backend, const Matrix& x, std::size_t k, std::size_t piece) {
  CAPTURE(k);
  CAPTURE(piece);
  const ConstMatrixView all = x.view();
  k = std::min(k, all.cols);
  std::vector<std::uint32_t> expected_indices(x.rows * k);
  std::vector<float> expected_values(x.rows * k);
  scalar().top_k(all, k, expected_indices.data(), expected_values.data());
  for (const bool with_largest : {false, true}) {
    std::vector<std::uint32_t> indices(x.rows * k);
    std::vector<float> values(x.rows * k);
    std::vector<float> sums(x.rows);
    std::vector<float> largest(x.rows);
    for (std::size_t first = 0; first < all.cols; first += piece) {
      const ConstMatrixView part(all.data + first, all.rows, std::min(piece, all.cols - first), all.stride);
      if (with_largest) backend.log_sum_exp(part, sums.data(), largest.data());
      backend.top_k(part, k, indices.data(), values.data(), first, with_largest ? largest.data() : nullptr);
    }
    CHECK(indices == expected_indices);
    CHECK(same_bits(values.data(), expected_values.data(), values.size()));
  }
}

TEST_CASE("top_k: a row that comes in pieces has the same best elements") {
  for_each_isa([](const Backend& backend) {
    Matrix x = normal_matrix(7, 1000, 1, 3);
    std::sort(x.row(1), x.row(1) + 1000);
    std::fill_n(x.row(2), 1000, 1.5F);
    for (std::size_t i = 0; i < 1000; ++i) x.row(3)[i] = std::round(x.row(3)[i]);
    for (std::size_t i = 0; i < 1000; i += 3) x.row(4)[i] = kNan;
    std::fill_n(x.row(5), 990, kNan);
    for (std::size_t i = 0; i < 1000; ++i) x.row(6)[i] = i % 3 == 0 ? kNan : (i % 5 == 1 ? kInfinity : -kInfinity);
    for (const std::size_t k : {1, 2, 10, 64, 400, 1000}) {
      for (const std::size_t piece : {1, 7, 64, 300, 999}) check_pieces(backend, x, k, piece);
    }
  });
}

TEST_CASE("top_k: NaN counts as smallest, below minus infinity") {
  for_each_isa([](const Backend& backend) {
    Matrix x(4, 200);
    std::fill_n(x.row(0), 200, kNan);
    fill_normal(x.data, 1);
    std::fill_n(x.row(0), 190, kNan);
    for (std::size_t i = 0; i < 200; i += 3) x.row(1)[i] = kNan;
    std::fill_n(x.row(2), 200, kNan);
    for (std::size_t i = 0; i < 200; ++i) x.row(3)[i] = i % 3 == 0 ? kNan : (i % 3 == 1 ? -kInfinity : kInfinity);
    for (const std::size_t k : {1, 5, 20, 150, 200}) check_top_k(backend, x, k);
  });
}

TEST_CASE("top_k: rows are independent of the number of threads; k = 0 writes nothing") {
  for_each_isa([](const Backend& backend) {
    const Matrix x = normal_matrix(50, 3000, 1);
    for (const int threads : {1, 2, 5}) {
      const ThreadScope scope(threads);
      check_top_k(backend, x, 30);
    }
    backend.top_k(x.view(), 0, nullptr, nullptr);
  });
}

TEST_CASE("keep_larger: keeps each column's largest and the first row that had it") {
  for_each_isa([](const Backend& backend) {
    std::vector<std::size_t> lengths = edge_lengths();
    lengths.push_back(0);
    for (const std::size_t n : lengths) {
      CAPTURE(n);
      Matrix x = normal_matrix(9, n, 1, 2);
      for (std::size_t i = 0; i < n; ++i) x.row(i % 9)[i] = kNan;
      if (n > 2) {
        x.row(2)[0] = x.row(4)[0] = 7;  // the first of equal ones
        x.row(1)[1] = kInfinity;
        for (std::size_t r = 0; r < 9; ++r) x.row(r)[2] = -1;  // never above where it starts
      }
      // One element more than the operator is told of, which stays.
      std::vector<float> largest(n + 1, 0.0F);
      std::vector<float> expected(n + 1, 0.0F);
      std::vector<std::int32_t> labels(n + 1, -77);
      std::vector<std::int32_t> expected_labels(n + 1, -77);
      for (std::size_t r = 0; r < 9; ++r) {
        const std::int32_t label = static_cast<std::int32_t>(r) - 3;
        backend.keep_larger(x.row(r), label, n, largest.data(), labels.data());
        scalar().keep_larger(x.row(r), label, n, expected.data(), expected_labels.data());
      }
      CHECK(largest == expected);
      CHECK(labels == expected_labels);
      if (n > 2) {
        CHECK(labels[0] == -1);
        CHECK(labels[1] == -2);
        CHECK(labels[2] == -77);
      }
    }
  });
}

TEST_CASE("find_above: finds what the scalar version finds, in order") {
  for_each_isa([](const Backend& backend) {
    std::vector<std::size_t> lengths = edge_lengths();
    lengths.push_back(0);
    for (const std::size_t n : lengths) {
      CAPTURE(n);
      for (const float shift : {-9.0F, 0.0F, 2.0F, 9.0F}) {  // from all to none
        std::vector<float> x = normal_values(n + 1, 1);
        std::vector<float> threshold = normal_values(n + 1, 2);
        for (float& t : threshold) t += shift;
        if (n > 3) {
          x[1] = threshold[1];  // equal is not above
          x[2] = kNan;
          threshold[3] = kNan;
        }
        std::vector<std::uint32_t> found(n + 1, 12345);
        std::vector<std::uint32_t> expected(n + 1, 12345);
        const std::size_t count = backend.find_above(x.data(), threshold.data(), n, found.data());
        REQUIRE(count == scalar().find_above(x.data(), threshold.data(), n, expected.data()));
        CHECK(std::equal(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), expected.begin()));
        CHECK(found[n] == 12345);
      }
    }
  });
}

}  // namespace
}  // namespace ffmem
