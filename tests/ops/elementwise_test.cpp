#include <limits>

#include "ops/scalar/scalar_activation.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

const std::vector<Activation> kActivations = {
    Activation::relu,       Activation::relu2,      Activation::gelu, Activation::gelu_tanh, Activation::gelu_fast,
    Activation::gelu_10,    Activation::quick_gelu, Activation::silu, Activation::mish,      Activation::relu6,
    Activation::leaky_relu, Activation::sigmoid,    Activation::tanh, Activation::linear,    Activation::laplace};

// From -30 to 30, dense around 0.
Matrix sweep() {
  Matrix x(1, 4001);
  for (std::size_t i = 0; i < x.cols; ++i) {
    const double u = (static_cast<double>(i) - 2000) / 2000;
    x.row(0)[i] = static_cast<float>(30 * u * std::fabs(u));
  }
  return x;
}

TEST_CASE("activate: every activation matches the scalar version from -30 to 30") {
  for_each_isa([](const Backend& backend) {
    for (const Activation activation : kActivations) {
      const std::string activation_name(name(activation));
      CAPTURE(activation_name);
      Matrix found = sweep();
      Matrix expected = sweep();
      backend.activate(activation, found.view());
      scalar().activate(activation, expected.view());
      // exp(u) carries the rounding of u, and u reaches -88 before the result vanishes: 88 * 6e-8 relative, twice over.
      check_close(found.view(), expected.view(), 1.5e-5, 1e-37);
      // Where the result is not tiny, a few units in the last place.
      check_close(found.view(), expected.view(), 4e-7, 1e-7);
    }
  });
}

TEST_CASE("activate: far from zero the limits are exact, and NaN stays NaN") {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for_each_isa([&](const Backend& backend) {
    for (const Activation activation : kActivations) {
      const std::string activation_name(name(activation));
      CAPTURE(activation_name);
      Matrix x(1, 7);
      const std::vector<float> inputs = {-100.0F, -200.0F, -1e4F, 100.0F, 200.0F, 1e4F, kNan};
      std::copy(inputs.begin(), inputs.end(), x.row(0));
      Matrix expected = x;
      backend.activate(activation, x.view());
      scalar().activate(activation, expected.view());
      check_close(x.view(), expected.view(), 4e-7, 1e-30);
      CHECK(std::isnan(x.row(0)[6]));
    }
  });
}

TEST_CASE("softcap: matches the scalar version") {
  for_each_isa([](const Backend& backend) {
    for (const float cap : {30.0F, 50.0F}) {
      Matrix found = sweep();
      for (std::size_t i = 0; i < found.cols; ++i) found.row(0)[i] *= 10;
      Matrix expected = found;
      backend.softcap(found.view(), cap);
      scalar().softcap(expected.view(), cap);
      check_close(found.view(), expected.view(), 5e-7, 1e-37);
    }
  });
}

// Every elementwise operator on the same two operands.
template <class F>
void for_each_operator(F f) {
  f("add", [](const Backend& b, MatrixView x, ConstMatrixView y) { b.add(x, y); });
  f("multiply", [](const Backend& b, MatrixView x, ConstMatrixView y) { b.multiply(x, y); });
  f("scale", [](const Backend& b, MatrixView x, ConstMatrixView) { b.scale(x, 0.3F); });
  f("softcap", [](const Backend& b, MatrixView x, ConstMatrixView) { b.softcap(x, 2.0F); });
  for (const Activation activation : kActivations) {
    f(std::string(name(activation)),
      [activation](const Backend& b, MatrixView x, ConstMatrixView) { b.activate(activation, x); });
  }
}

TEST_CASE("add, multiply, scale: have the bits of the scalar version for all lengths and strides") {
  for_each_isa([](const Backend& backend) {
    for (const std::size_t n : edge_lengths()) {
      CAPTURE(n);
      const Matrix y = normal_matrix(3, n, 2, 1);
      for_each_operator([&](const std::string& what, auto apply) {
        if (what != "add" && what != "multiply" && what != "scale") return;
        CAPTURE(what);
        Matrix found = normal_matrix(3, n, 1, 3);
        Matrix expected = found;
        apply(backend, found.view(), y.view());
        apply(scalar(), expected.view(), y.view());
        CHECK(found.data == expected.data);  // also between the rows
      });
    }
  });
}

TEST_CASE("elementwise: an element's bits do not depend on its place in a row") {
  const Matrix x = normal_matrix(1, 67, 1);
  const Matrix y = normal_matrix(1, 67, 2);
  for_each_isa([&](const Backend& backend) {
    for_each_operator([&](const std::string& what, auto apply) {
      CAPTURE(what);
      Matrix all = x;
      apply(backend, all.view(), y.view());
      for (std::size_t i = 0; i < x.cols; ++i) {
        Matrix one(1, 1);
        one.row(0)[0] = x.row(0)[i];
        apply(backend, one.view(), ConstMatrixView(y.row(0) + i, 1, 1));
        CHECK(same_bits(one.row(0), all.row(0) + i, 1));
      }
    });
  });
}

}  // namespace
}  // namespace ffmem
