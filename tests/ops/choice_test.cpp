// Names: of activations, and of the instruction sets a backend is made for.
#include <cstdlib>

#include "ops/cpu/dispatch.hpp"
#include "ops/error.hpp"
#include "support.hpp"

namespace ffmem {
namespace {

using namespace test;

TEST_CASE("activation_from_name: knows the checkpoints' spellings and no others") {
  CHECK(activation_from_name("gelu") == Activation::gelu);
  CHECK(activation_from_name("gelu_new") == Activation::gelu_tanh);
  CHECK(activation_from_name("gelu_pytorch_tanh") == Activation::gelu_tanh);
  CHECK(activation_from_name("gelu_fast") == Activation::gelu_fast);
  CHECK(activation_from_name("swish") == Activation::silu);
  CHECK_FALSE(activation_from_name("").has_value());
  CHECK_FALSE(activation_from_name("GELU").has_value());
  CHECK_FALSE(activation_from_name("gelu_").has_value());
  CHECK(known_activation_names().find("relu, relu2, gelu") == 0);
}

TEST_CASE("activation_from_name: every activation's own name means it, where checkpoints use that name") {
  for (int i = 0; i <= static_cast<int>(Activation::laplace); ++i) {
    const auto activation = static_cast<Activation>(i);
    CHECK_FALSE(name(activation).empty());
    if (activation != Activation::gelu_tanh) CHECK(activation_from_name(name(activation)) == activation);
  }
}

TEST_CASE("make_cpu_backend: names its instruction set; an unknown one is an error that lists the known") {
  const std::vector<std::string> isas = available_isas();
  REQUIRE_FALSE(isas.empty());
  for (const std::string& isa : isas) CHECK(make_cpu_backend(isa)->description().starts_with("cpu (" + isa));
  try {
    make_cpu_backend("avx1024");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::argument_invalid);
    CHECK(std::string(error.what()).find("avx1024") != std::string::npos);
    CHECK(std::string(error.what()).find(isas.back()) != std::string::npos);
  }
}

TEST_CASE("make_cpu_backend: FFMEM_ISA stands in for an empty name only") {
  const std::vector<std::string> isas = available_isas();
  const char* before = std::getenv("FFMEM_ISA");
  const std::string saved = before == nullptr ? "" : before;
  setenv("FFMEM_ISA", isas.back().c_str(), 1);
  CHECK(make_cpu_backend()->description().starts_with("cpu (" + isas.back()));
  CHECK(make_cpu_backend(isas.front())->description().starts_with("cpu (" + isas.front()));
  setenv("FFMEM_ISA", "none", 1);
  CHECK_THROWS_AS(make_cpu_backend(), Error);
  unsetenv("FFMEM_ISA");
  CHECK(make_cpu_backend()->description().starts_with("cpu (" + isas.front()));
  if (before != nullptr) setenv("FFMEM_ISA", saved.c_str(), 1);
}

TEST_CASE("make_cpu_backend: a build with kernels for other machines only says so, whatever was asked for") {
  for (const std::string isa : {"", "avx2"}) {
    try {
      choose_kernels(isa, {});
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::argument_invalid);
      CHECK(std::string(error.what()).starts_with("this build has kernels for no instruction set of this machine"));
    }
  }
}

}  // namespace
}  // namespace ffmem
