// softmax_change: what a softmax becomes when its logits move.

#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

struct Words {
  std::vector<float> p, logits, o, u;

  explicit Words(std::size_t n) : p(n), logits(normal_values(n, 1)), o(normal_values(n, 2)), u(normal_values(n, 3)) {
    for (std::size_t w = 0; w < n; ++w) p[w] = std::exp(logits[w]) / static_cast<float>(n);
  }

  SoftmaxTerms terms(float a, float b) const {
    return {.p = p.data(), .logits = logits.data(), .o = o.data(), .u = u.data(), .a = a, .b = b, .n = p.size(), .first = 7};
  }
};

void check_same(const SoftmaxChange& found, const SoftmaxChange& expected) {
  CHECK(found.linear == doctest::Approx(expected.linear).epsilon(1e-5));
  CHECK(found.remainder == doctest::Approx(expected.remainder).epsilon(1e-5));
  CHECK(found.best == doctest::Approx(expected.best).epsilon(1e-6));
  CHECK(found.best_word == expected.best_word);
  CHECK(found.largest == doctest::Approx(expected.largest).epsilon(1e-6));
}

TEST_CASE("softmax_change: matches the scalar version for any number of words, however far the logits move") {
  for_each_isa([](const Backend& backend) {
    std::vector<std::size_t> lengths = edge_lengths();
    for (const std::size_t n : {255, 256, 257, 512, 1000}) lengths.push_back(n);
    for (const std::size_t n : lengths) {
      for (const float size : {1e-5F, 0.05F, 0.2F, 1.0F, 10.0F}) {
        CAPTURE(n);
        CAPTURE(size);
        const Words words(n);
        SoftmaxChange found;
        SoftmaxChange expected = found;
        backend.softmax_change(words.terms(0.25F * size, -size), found);
        scalar().softmax_change(words.terms(0.25F * size, -size), expected);
        check_same(found, expected);
      }
    }
  });
}

TEST_CASE("softmax_change: the remainder keeps its digits however small or large a change is") {
  for_each_isa([](const Backend& backend) {
    for (const double delta : {1e-6, -1e-4, 0.01, 0.33, 0.35, -0.34, 1.0, -3.0, 20.0, -59.0, 59.0}) {
      const float one = 1.0F, zero = 0.0F, u = static_cast<float>(delta);
      SoftmaxChange change{.best = -1e30F};
      backend.softmax_change({.p = &one, .logits = &zero, .o = &zero, .u = &u, .a = 0.0F, .b = 1.0F, .n = 1}, change);
      // e^x - 1 - x by its series where the plain formula has no digits.
      const auto x = static_cast<double>(u);
      double expected = std::expm1(x) - x;
      if (std::abs(x) < 0.5) {
        expected = 0.0;
        double term = x;
        for (int k = 2; k < 20; ++k) expected += term *= x / k;
      }
      CHECK(change.remainder == doctest::Approx(expected).epsilon(1e-5));
      CHECK(change.largest == doctest::Approx(std::abs(x)));
    }
  });
}

TEST_CASE("softmax_change: words that come block by block add up, and the first of equal best words is kept") {
  for_each_isa([](const Backend& backend) {
    Words words(600);
    for (const std::size_t w : {0, 299, 300, 599}) {
      words.logits[w] = 50.0F;
      words.o[w] = words.u[w] = 0.0F;
    }
    SoftmaxChange whole;
    backend.softmax_change(words.terms(0.1F, 0.2F), whole);
    CHECK(whole.best_word == 7);
    SoftmaxChange parts;
    for (const std::size_t first : {1, 300}) {
      SoftmaxTerms terms = words.terms(0.1F, 0.2F);
      terms.p += first, terms.logits += first, terms.o += first, terms.u += first;
      terms.n = first == 1 ? 299 : 300;
      terms.first = first;
      backend.softmax_change(terms, parts);
    }
    CHECK(parts.best_word == 299);
    CHECK(parts.linear == doctest::Approx(whole.linear).epsilon(1e-5));
    CHECK(parts.remainder == doctest::Approx(whole.remainder).epsilon(1e-5));
  });
}

TEST_CASE("softmax_change: no words change nothing") {
  for_each_isa([](const Backend& backend) {
    SoftmaxChange change{.linear = 1.0, .remainder = 2.0, .best = 3.0F, .best_word = 4, .largest = 5.0F};
    backend.softmax_change(Words(0).terms(1.0F, 1.0F), change);
    CHECK(change.linear == 1.0);
    CHECK(change.remainder == 2.0);
    CHECK(change.best == 3.0F);
    CHECK(change.best_word == 4);
    CHECK(change.largest == 5.0F);
  });
}

TEST_CASE("softmax_change: says so when a logit moves too far") {
  for_each_isa([](const Backend& backend) {
    Words words(300);
    words.u[299] = 61.0F;
    SoftmaxChange change;
    backend.softmax_change(words.terms(0.0F, -1.0F), change);
    CHECK(change.largest == 61.0F);
    CHECK(change.largest >= kLargestLogitChange);
  });
}

}  // namespace
}  // namespace ffmem
