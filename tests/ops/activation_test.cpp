// The activations by the names of checkpoints, against numbers that are not this project's.
#include "ops/activation.hpp"

#include <array>
#include <string>
#include <string_view>

#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

constexpr std::array<float, 4> kX = {-3.0F, -0.5F, 0.7F, 12.0F};

struct Known {
  std::string_view name;
  std::array<double, 4> y;
};

// What transformers.activations.ACT2FN[name](torch.tensor([-3, -0.5, 0.7, 12], dtype=torch.float64)) is in Transformers 5.5.4
// with PyTorch 2.15.0, every digit of it.
constexpr std::array<Known, 20> kKnown{{
    {"relu", {0.0, 0.0, 0.7, 12.0}},
    {"relu2", {0.0, 0.0, 0.48999999999999994, 144.0}},
    {"gelu", {-0.00404969409489031, -0.15426876936299344, 0.5306254434438489, 12.0}},
    {"gelu_python", {-0.00404969409489031, -0.15426876936299344, 0.5306254434438489, 12.0}},
    {"gelu_new", {-0.0036373920817729943, -0.15428599017485606, 0.5305701347051167, 12.0}},
    {"gelu_pytorch_tanh", {-0.0036373920817729943, -0.15428599017485606, 0.5305701347051167, 12.0}},
    {"gelu_python_tanh", {-0.0036373920817729943, -0.15428599017485606, 0.5305701347051167, 12.0}},
    {"gelu_accurate", {-0.0036373920817729943, -0.15428599017485606, 0.5305701347051167, 12.0}},
    {"gelu_fast", {-0.003637392081860591, -0.15428599017516514, 0.5305701347045902, 12.0}},
    {"gelu_10", {-0.00404969409489031, -0.15426876936299344, 0.5306254434438489, 10.0}},
    {"quick_gelu", {-0.01807130970778597, -0.1496115633936199, 0.5368939517231501, 11.999999983813582}},
    {"silu", {-0.14227761953270035, -0.1887703343990727, 0.46773144051771626, 11.999926269904773}},
    {"swish", {-0.14227761953270035, -0.1887703343990727, 0.46773144051771626, 11.999926269904773}},
    {"mish", {-0.1456474612756246, -0.22074377465173, 0.5611483776438518, 11.99999999909398}},
    {"relu6", {0.0, 0.0, 0.7, 6.0}},
    {"leaky_relu", {-0.03, -0.005, 0.7, 12.0}},
    {"sigmoid", {0.04742587317756678, 0.3775406687981454, 0.6681877721681662, 0.9999938558253978}},
    {"tanh", {-0.9950547536867305, -0.46211715726000974, 0.6043677771171635, 0.9999999999244973}},
    {"linear", {-3.0, -0.5, 0.7, 12.0}},
    {"laplace", {0.0, 9.383381167682447e-06, 0.4899502547706289, 1.0}},
}};

TEST_CASE("activation: every config name is the function that Transformers has by it") {
  std::string names;
  for (const Known& known : kKnown) {
    names += names.empty() ? "" : ", ";
    names += known.name;
    CAPTURE(known.name);
    const auto activation = activation_from_name(known.name);
    REQUIRE(activation);
    Matrix y(1, kX.size());
    std::ranges::copy(kX, y.row(0));
    scalar().activate(*activation, y.view());
    for (std::size_t i = 0; i < kX.size(); ++i) {
      CAPTURE(kX[i]);
      // The rounding of 0.7 and of the result; PyTorch's laplace(-3) is 0, since it adds 1 to an erf next to -1.
      CHECK(std::fabs(y.row(0)[i] - known.y[i]) <= 2e-7 * std::fabs(known.y[i]) + 1e-16);
    }
  }
  CHECK(names == known_activation_names());  // the table has them all
}

TEST_CASE("activation: a name that is not known is none") {
  for (const std::string_view name : {"", "swoosh", "GELU", "gelu ", "gelu_tanh"}) {
    CAPTURE(name);
    CHECK_FALSE(activation_from_name(name).has_value());
  }
}

}  // namespace
}  // namespace ffmem
