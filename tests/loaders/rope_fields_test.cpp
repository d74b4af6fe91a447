// Rotary positions in config.json: frequencies as PyTorch computes them, and which of several fields counts.
#include "loaders/families/rope_fields.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "loaders/load_checkpoint.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using Frequencies = std::vector<float>;

/// Heads of 20 dimensions; `rotary` are the fields that say how they turn.
ModelConfig load_llama(const std::string& rotary) {
  const TemporaryFolder folder;
  return load_config(folder.write("config.json", R"({"model_type": "llama", "hidden_size": 40, "intermediate_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 7, "max_position_embeddings": 4096, )" +
                                                     rotary + "}"));
}

/// Another libm may round a power otherwise, hence the unit in the last place.
void check_same(const Frequencies& found, const Frequencies& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t k = 0; k < found.size(); ++k) {
    CAPTURE(k);
    CHECK(std::abs(std::bit_cast<std::int32_t>(found[k]) - std::bit_cast<std::int32_t>(expected[k])) <= 1);
  }
}

// Printed by PyTorch 2.15 in float32: 1 / (theta ** (torch.arange(0, 20, 2).float() / 20)), and by transformers 5.5.4's
// ROPE_INIT_FUNCTIONS["llama3"] and ["linear"] with a theta of 500000.
const Frequencies kTheta10000 = {1.0F,           0.398107171F,   0.158489317F,   0.0630957261F,   0.0251188632F,
                                 0.00999999978F, 0.00398107059F, 0.00158489333F, 0.000630957307F, 0.0002511887F};
const Frequencies kTheta500000 = {1.0F,           0.269217312F,    0.0724779591F,  0.0195123218F,   0.0052530556F,
                                  0.00141421345F, 0.000380730664F, 0.00010249934F, 2.75945895e-05F, 7.42894463e-06F};
const Frequencies kLlama3 = {1.0F,           0.269217312F,    0.0724779591F,   0.00579682551F, 0.00065663195F, 0.000176776681F,
                             4.7591333e-05F, 1.28124175e-05F, 3.44932369e-06F, 9.28618078e-07F};
const Frequencies kLinear = {0.333333343F,    0.0897391066F,   0.0241593197F,   0.00650410727F,  0.00175101857F,
                             0.000471404492F, 0.000126910221F, 3.41664454e-05F, 9.19819649e-06F, 2.47631488e-06F};

}  // namespace

TEST_CASE("rotary_frequencies: those of PyTorch's float32, not of exact arithmetic") {
  check_same(rotary_frequencies(10000.0F, 20), kTheta10000);
  check_same(rotary_frequencies(500000.0F, 20), kTheta500000);
}

TEST_CASE("read_rotary: scaled frequencies are those of Transformers") {
  check_same(load_llama(R"("rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 512})")
                 .rotary_inv_freq,
             kLlama3);
  check_same(load_llama(R"("rope_theta": 500000.0, "rope_scaling": {"type": "linear", "factor": 3.0})").rotary_inv_freq,
             kLinear);
}

TEST_CASE("read_rotary: an empty rope_scaling leaves rope_parameters their say") {
  const ModelConfig c =
      load_llama(R"("rope_scaling": {}, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0})");
  check_same(c.rotary_inv_freq, kTheta500000);
}

TEST_CASE("read_rotary: the part of a head that turns is counted in double, as Python does") {
  const auto turning = [](const std::string& fraction) {
    const TemporaryFolder folder;
    const ModelConfig c = load_config(folder.write("config.json", R"({"model_type": "gpt_neox", "hidden_size": 200,
      "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 7, "rotary_pct": )" +
                                                                      fraction + "}"));
    return 2 * c.rotary_inv_freq.size();
  };
  CHECK(turning("0.29") == 28);  // 0.29 * 100 is just below 29 in double, 29 in float
  CHECK(turning("0.3") == 30);
}

TEST_CASE("load_config: GPT-NeoX's fraction under a second name must be the same") {
  const auto load = [](const std::string& more) {
    const TemporaryFolder folder;
    load_config(folder.write("config.json", R"({"model_type": "gpt_neox", "hidden_size": 40, "intermediate_size": 8,
      "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 7, "rotary_pct": 0.5, "partial_rotary_factor": )" +
                                                more + "}"));
  };
  CHECK_NOTHROW(load("0.5"));
  CHECK(contains(thrown([&] { load("1.0"); }).what(), "partial_rotary_factor: expected the share that rotary_pct says"));
}

TEST_CASE("read_rotary: what is refused is named where it stands") {
  const auto refused = [](const std::string& rotary) { return std::string(thrown([&] { load_llama(rotary); }).what()); };
  CHECK(contains(refused(R"("rope_theta": 0)"), "config.json: rope_theta: expected a number above 0"));
  CHECK(contains(refused(R"("rope_parameters": {"rope_theta": -1})"), "config.json: rope_parameters.rope_theta: expected"));
  CHECK(contains(refused(R"("partial_rotary_factor": 0.5)"), "config.json: partial_rotary_factor: 0.5 of a head's 20"));
  CHECK(contains(refused(R"("rope_scaling": {"type": "default", "partial_rotary_factor": 0.5})"),
                 "config.json: rope_scaling.partial_rotary_factor: 0.5 of a head's 20"));
}

}  // namespace ffmem
