// The operators that scan rows: log_sum_exp, top_k, find_above.
#include <algorithm>
#include <limits>

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
    Matrix x(4, 21);
    std::fill_n(x.row(0), 21, -kInfinity);
    x.row(1)[20] = kInfinity;
    std::fill_n(x.row(2), 21, -kInfinity);
    x.row(2)[17] = 3;
    x.row(3)[5] = kNan;
    std::vector<float> out(4);
    backend.log_sum_exp(x.view(), out.data());
    CHECK(out[0] == -kInfinity);
    CHECK(out[1] == kInfinity);
    CHECK(out[2] == 3);
    CHECK(std::isnan(out[3]));
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
