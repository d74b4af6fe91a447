// Products by weights in the formats bf16, int8 and int4.
#include <limits>

#include "ops/threads.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

constexpr WeightFormat kFormats[] = {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4};

// What fused multiply-add leaves to the order of the documented operations: nothing. Without it, or with instructions for bf16,
// which add in an order of their own, some last bits of sums of `in` products of order 1.
double tolerance(const Backend& backend, WeightFormat format, std::size_t in) {
  const std::string name = backend.description();
  const bool multiplies_bf16 = name.find("avx512bf16") != std::string::npos || name.find("avx512amx") != std::string::npos;
  const bool exact = format == WeightFormat::bf16 ? !multiplies_bf16 : name.find("sse") == std::string::npos;
  return exact ? 0.0 : 2e-6 * std::sqrt(static_cast<double>(in));
}

TEST_CASE("quantised matmul: matches the scalar version at the edges of vectors, panels, steps, groups and row blocks") {
  for_each_isa([](const Backend& backend) {
    for (const WeightFormat format : kFormats) {
      for (const std::size_t in : {1, 2, 3, 5, 8, 31, 33, 63, 64, 65, 100, 515}) {
        for (const std::size_t out : {1, 15, 16, 17, 33, 63, 64, 65, 130}) {
          const std::vector<float> by_row = normal_values(out * in, 1);
          const std::vector<float> bias = normal_values(out, 2);
          const WeightMatrix w{by_row.data(), DType::f32, out, in, in, 1};
          const auto prepared = backend.prepare(w, format);
          const auto reference = scalar().prepare(w, format);
          for (const std::size_t rows : {0, 1, 2, 3, 4, 5, 6, 7, 13}) {
            CAPTURE(static_cast<int>(format));
            CAPTURE(in);
            CAPTURE(out);
            CAPTURE(rows);
            const Matrix x = normal_matrix(rows, in, 3, 5);
            for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
              const Matrix found = product(backend, x.view(), *prepared, b);
              const Matrix expected = product(scalar(), x.view(), *reference, b);
              const double absolute = tolerance(backend, format, in);
              check_close(found.view(), expected.view(), 0, std::max(absolute, 1e-30));
            }
          }
        }
      }
    }
  });
}

TEST_CASE("quantised matmul: a row's bits do not depend on the number of rows or the number of threads") {
  struct Shape {
    std::size_t in;
    std::size_t out;
  };
  for_each_isa([](const Backend& backend) {
    for (const WeightFormat format : kFormats) {
      for (const Shape shape : {Shape{256, 1024}, {1024, 256}, {1540, 130}, {20, 48}, {7, 3}, {4096, 64}}) {
        CAPTURE(static_cast<int>(format));
        CAPTURE(shape.in);
        CAPTURE(shape.out);
        const Matrix x = normal_matrix(260, shape.in, 1);
        const std::vector<float> values = normal_values(shape.in * shape.out, 2);
        const auto w = backend.prepare({values.data(), DType::f32, shape.out, shape.in, shape.in, 1}, format);
        const Matrix all = product(backend, x.view(), *w, nullptr);
        for (const int threads : {1, 2}) {
          const ThreadScope scope(threads);
          for (const std::size_t rows : {1, 2, 3, 4, 7, 9, 64, 65, 260}) {
            CAPTURE(threads);
            CAPTURE(rows);
            const Matrix some = product(backend, x.view().rows_between(260 - rows, 260), *w, nullptr);
            bool same = true;
            for (std::size_t t = 0; t < rows; ++t) same = same && same_bits(some.row(t), all.row(260 - rows + t), shape.out);
            CHECK(same);
          }
        }
      }
    }
  });
}

TEST_CASE("quantised matmul: instruction sets with fused multiply-add give int8 and int4 products the same bits") {
  const Matrix x = normal_matrix(9, 700, 1);
  const std::vector<float> values = normal_values(std::size_t{700} * 90, 2);
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4}) {
    const WeightMatrix w{values.data(), DType::f32, 90, 700, 700, 1};
    const Matrix expected = product(scalar(), x.view(), *scalar().prepare(w, format), nullptr);
    for_each_isa([&](const Backend& backend) {
      if (backend.description().find("sse") != std::string::npos) return;
      const Matrix found = product(backend, x.view(), *backend.prepare(w, format), nullptr);
      CHECK(same_bits(found, expected));
    });
  }
}

TEST_CASE("quantised matmul: whole numbers as large as they become, of any signs, are added without loss") {
  // Signs by output and by row: all alike, every second, every pair of two, and one against all others.
  constexpr std::size_t kSigns = 7;
  const auto sign = [](std::size_t kind, std::size_t i) {
    const bool negative[kSigns] = {false, true, i % 2 == 0, i % 2 == 1, i % 4 < 2, i % 32 == 0, i % 32 != 5};
    return negative[kind] ? -1.0F : 1.0F;
  };
  constexpr std::size_t kIn = 192;
  std::vector<float> values;
  Matrix x(2 * kSigns, kIn);
  for (std::size_t kind = 0; kind < kSigns; ++kind) {
    for (std::size_t i = 0; i < kIn; ++i) {
      values.push_back(sign(kind, i));
      x.row(kind)[i] = x.row(kSigns + kind)[i] = sign(kind, i);
    }
  }
  const WeightMatrix w{values.data(), DType::f32, kSigns, kIn, kIn, 1};
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::int4}) {
    const Matrix expected = product(scalar(), x.view(), *scalar().prepare(w, format), nullptr);
    for_each_isa([&](const Backend& backend) {
      CAPTURE(static_cast<int>(format));
      const auto prepared = backend.prepare(w, format);
      check_close(product(backend, x.view(), *prepared, nullptr).view(), expected.view(), 1e-6, 1e-5);
      for (std::size_t t = 0; t < kSigns; ++t) {
        const Matrix alone = product(backend, x.view().rows_between(t, t + 1), *prepared, nullptr);
        CHECK(same_bits(alone.row(0), product(backend, x.view(), *prepared, nullptr).row(t), kSigns));
      }
    });
  }
}

TEST_CASE("quantised matmul: the product is near the exact one, nearer the more bits the format has") {
  const Matrix x = normal_matrix(4, 768, 1);
  const std::vector<float> values = normal_values(std::size_t{768} * 64, 2);
  const WeightMatrix w{values.data(), DType::f32, 64, 768, 768, 1};
  const Matrix exact = product(scalar(), x.view(), *scalar().prepare(w), nullptr);
  for_each_isa([&](const Backend& backend) {
    double last = 0;
    for (const WeightFormat format : kFormats) {
      const Matrix found = product(backend, x.view(), *backend.prepare(w, format), nullptr);
      double squares = 0;
      for (std::size_t t = 0; t < 4; ++t) {
        for (std::size_t o = 0; o < 64; ++o) squares += std::pow(found.row(t)[o] - exact.row(t)[o], 2.0);
      }
      // Products have a standard deviation of sqrt(768) = 28.
      const double error = std::sqrt(squares / 256) / 28;
      CAPTURE(static_cast<int>(format));
      CHECK(error > last);
      CHECK(error < (format == WeightFormat::bf16 ? 0.003 : format == WeightFormat::int8 ? 0.015 : 0.12));
      last = error;
    }
  });
}

TEST_CASE("quantised matmul: zeros are exact, infinities and NaN reach the outputs, and no other row") {
  for_each_isa([](const Backend& backend) {
    const std::vector<float> values = normal_values(std::size_t{70} * 20, 1);
    for (const WeightFormat format : kFormats) {
      CAPTURE(static_cast<int>(format));
      const auto w = backend.prepare({values.data(), DType::f32, 20, 70, 70, 1}, format);
      Matrix x = normal_matrix(4, 70, 2);
      std::fill_n(x.row(0), 70, 0.0F);
      x.row(1)[69] = std::numeric_limits<float>::quiet_NaN();
      x.row(2)[3] = INFINITY;
      const Matrix y = product(backend, x.view(), *w, nullptr);
      for (std::size_t o = 0; o < 20; ++o) {
        CHECK(y.row(0)[o] == 0.0F);
        CHECK(std::isnan(y.row(1)[o]));
        CHECK_FALSE(std::isfinite(y.row(2)[o]));
        CHECK(std::isfinite(y.row(3)[o]));
      }
    }
  });
}

TEST_CASE("quantised matmul: weights are packed from any stored type and layout, in the bytes the format says") {
  const std::size_t out = 100;
  const std::size_t in = 130;
  const std::vector<float> by_row = normal_values(out * in, 1);
  std::vector<float> by_column(by_row.size());
  for (std::size_t i = 0; i < by_row.size(); ++i) by_column[i % in * out + i / in] = by_row[i];
  const auto backend = make_cpu_backend();
  const Matrix x = normal_matrix(5, in, 2);
  for (const WeightFormat format : kFormats) {
    const auto rows = backend->prepare({by_row.data(), DType::f32, out, in, in, 1}, format);
    const auto columns = backend->prepare({by_column.data(), DType::f32, out, in, 1, out}, format);
    CHECK(rows->format() == format);
    CHECK(rows->rows() == out);
    CHECK(rows->cols() == in);
    CHECK(same_bits(product(*backend, x.view(), *rows, nullptr), product(*backend, x.view(), *columns, nullptr)));
  }
  // 112 = 100 outputs in vectors of 16; whole groups: 3 of 64, 5 of 32.
  const WeightMatrix w{by_row.data(), DType::f32, out, in, in, 1};
  CHECK(backend->prepare(w, WeightFormat::bf16)->owned_bytes() == 112 * 130 * 2);
  CHECK(backend->prepare(w, WeightFormat::int8)->owned_bytes() == 112 * 3 * (64 + 4));
  CHECK(backend->prepare(w, WeightFormat::int4)->owned_bytes() == 112 * 5 * (32 / 2 + 4));
}

}  // namespace
}  // namespace ffmem
