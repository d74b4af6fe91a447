#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

TEST_CASE("layer_norm: matches the scalar version for all lengths, with and without weight and bias") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t n : edge_lengths()) {
      CAPTURE(n);
      Matrix x = normal_matrix(4, n, 1, 3);
      for (std::size_t i = 0; i < n; ++i) x.row(1)[i] += 5;  // a mean that does not vanish
      const std::vector<float> weight = normal_values(n, 2);
      const std::vector<float> bias = normal_values(n, 3);
      for (const float* w : {static_cast<const float*>(nullptr), weight.data()}) {
        for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
          Matrix found(4, n, 1);
          Matrix expected(4, n);
          backend.layer_norm(x.view(), w, b, 1e-5F, found.view());
          scalar().layer_norm(x.view(), w, b, 1e-5F, expected.view());
          check_close(found.view(), expected.view(), 1e-5, 1e-5);
        }
      }
    }
  });
}

TEST_CASE("layer_norm: one large element, as residual streams have, costs no accuracy") {
  for_each_isa([](const Backend& backend) {
    Matrix x = normal_matrix(2, 1024, 1);
    x.row(0)[447] = 3000;
    Matrix found(2, 1024);
    Matrix expected(2, 1024);
    backend.layer_norm(x.view(), nullptr, nullptr, 1e-5F, found.view());
    scalar().layer_norm(x.view(), nullptr, nullptr, 1e-5F, expected.view());
    check_close(found.view(), expected.view(), 1e-5, 1e-6);
  });
}

TEST_CASE("layer_norm: a constant row gives its bias") {
  for_each_isa([](const Backend& backend) {
    const std::vector<float> bias = normal_values(19, 1);
    Matrix x(1, 19);
    std::fill(x.data.begin(), x.data.end(), 4.0F);
    backend.layer_norm(x.view(), nullptr, bias.data(), 1e-5F, x.view());
    CHECK(same_bits(x.row(0), bias.data(), 19));
  });
}

TEST_CASE("rms_norm: matches the scalar version for whole rows and for groups, in place and without weights too") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t group : edge_lengths()) {
      CAPTURE(group);
      const std::vector<float> weight = normal_values(group, 2);
      for (const std::size_t groups : {1, 3}) {
        Matrix x = normal_matrix(2, groups * group, 1, 3);
        Matrix found(2, groups * group, 1);
        Matrix expected(2, groups * group);
        backend.rms_norm(x.view(), weight.data(), 1e-6F, group, found.view());
        scalar().rms_norm(x.view(), weight.data(), 1e-6F, group, expected.view());
        check_close(found.view(), expected.view(), 2e-6, 1e-7);
        Matrix without(2, groups * group, 1);
        backend.rms_norm(x.view(), nullptr, 1e-6F, group, without.view());
        scalar().rms_norm(x.view(), nullptr, 1e-6F, group, expected.view());
        check_close(without.view(), expected.view(), 2e-6, 1e-7);
        backend.rms_norm(x.view(), weight.data(), 1e-6F, group, x.view());
        CHECK(same_bits(x, found));
      }
    }
  });
}

TEST_CASE("norms: a row's bits depend on neither its neighbours nor the number of threads") {
  for_each_isa([](const Backend& backend) {
    const std::size_t n = 200;
    const Matrix x = normal_matrix(300, n, 1);
    const std::vector<float> weight = normal_values(n, 2);
    Matrix layer(300, n);
    Matrix rms(300, n);
    for (const int threads : {1, 2, 3}) {
      const ThreadScope scope(threads);
      backend.layer_norm(x.view(), weight.data(), weight.data(), 1e-5F, layer.view());
      backend.rms_norm(x.view(), weight.data(), 1e-5F, n, rms.view());
      for (std::size_t t = 0; t < x.rows; ++t) {
        Matrix one(1, n);
        backend.layer_norm(x.view().rows_between(t, t + 1), weight.data(), weight.data(), 1e-5F, one.view());
        CHECK(same_bits(one.row(0), layer.row(t), n));
        backend.rms_norm(x.view().rows_between(t, t + 1), weight.data(), 1e-5F, n, one.view());
        CHECK(same_bits(one.row(0), rms.row(t), n));
      }
    }
  });
}

}  // namespace
}  // namespace ffmem
