// What Model::from_checkpoint refuses: each case spoils a checkpoint that is whole in one place.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "runtime/model.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

struct Spoilt {
  const char* folder;
  ErrorCode code;
  std::string message;
  std::function<void(ModelConfig&, ModelWeights&)> spoil;
};

void check_refused(const Spoilt& spoilt) {
  CAPTURE(spoilt.message);
  LoadedCheckpoint checkpoint = load_checkpoint(std::string(FFMEM_TEST_DATA) + spoilt.folder);
  spoilt.spoil(checkpoint.config, checkpoint.weights);
  const Error error = thrown([&] { Model::from_checkpoint(checkpoint); });
  CHECK(error.code() == spoilt.code);
  CHECK_MESSAGE(contains(error.what(), spoilt.message), error.what());
}

constexpr const char* kPlain = "/hf/gpt2-relu";  // L 3, d 24, d_m 44, V 64, 4 heads of 6, learned positions
constexpr const char* kGated = "/hf/qwen3";
constexpr const char* kAdaptive = "/fairseq/adaptive";
constexpr const char* kProjected = "/hf/opt-postln";

}  // namespace

TEST_CASE("check_checkpoint: a configuration that contradicts itself is refused") {
  const std::vector<Spoilt> cases{
      {kPlain, ErrorCode::config_invalid, "expected n_layers of at least 1, found 0", [](auto& c, auto&) { c.n_layers = 0; }},
      {kPlain, ErrorCode::config_invalid, "expected vocab_size of at least 1", [](auto& c, auto&) { c.vocab_size = 0; }},
      {kPlain, ErrorCode::config_invalid, "multiple of n_kv_heads, found 4 and 3", [](auto& c, auto&) { c.n_kv_heads = 3; }},
      {kPlain, ErrorCode::config_invalid, "attention_scale of 3 numbers, found 2",
       [](auto& c, auto&) { c.attention_scale.pop_back(); }},
      {kPlain, ErrorCode::config_invalid, "attention_window of 3 numbers",
       [](auto& c, auto&) { c.attention_window.pop_back(); }},
      {kPlain, ErrorCode::config_invalid, "alibi_slopes of 0 numbers, found 1",
       [](auto& c, auto&) { c.alibi_slopes = {1.0F}; }},
      {kPlain, ErrorCode::config_invalid, "no others, found 2 numbers", [](auto& c, auto&) { c.rotary_inv_freq.resize(2); }},
      {kGated, ErrorCode::config_invalid, "rotary_inv_freq for rotary positions",
       [](auto& c, auto&) { c.rotary_inv_freq.clear(); }},
      {kGated, ErrorCode::config_invalid, "at most head_dim / 2 numbers, found 99",
       [](auto& c, auto&) { c.rotary_inv_freq.resize(99); }},
      {kGated, ErrorCode::config_invalid, "alibi_slopes of", [](auto& c, auto&) { c.alibi_slopes.resize(c.n_heads); }},
      {"/hf/bloom", ErrorCode::config_invalid, "alibi_slopes of", [](auto& c, auto&) { c.alibi_slopes.clear(); }},
      {kGated, ErrorCode::config_invalid, "rotary_inv_freq of finite numbers, found inf",
       [](auto& c, auto&) { c.rotary_inv_freq[0] = INFINITY; }},
      {kGated, ErrorCode::config_invalid, "no position_offset but", [](auto& c, auto&) { c.position_offset = 2; }},
      {kGated, ErrorCode::config_invalid, "learned positions", [](auto&, auto& w) { w.position_embedding = w.head.matrix; }},
      {kPlain, ErrorCode::config_invalid, "expected final_softcap to be finite and at least 0, found -30",
       [](auto& c, auto&) { c.final_softcap = -30.0F; }},
      {kPlain, ErrorCode::config_invalid, "expected attention_softcap", [](auto& c, auto&) { c.attention_softcap = NAN; }},
      {kPlain, ErrorCode::config_invalid, "expected embedding_scale to be finite, found nan",
       [](auto& c, auto&) { c.embedding_scale = NAN; }},
      {kPlain, ErrorCode::config_invalid, "cutoffs", [](auto&, auto& w) { w.band_head = w.layers[0].keys.matrix; }},
      {kPlain, ErrorCode::config_invalid, "gated layers", [](auto&, auto& w) { w.layers[0].ups.bias.resize(1); }},
      {kPlain, ErrorCode::config_invalid, "embedding that is projected",
       [](auto&, auto& w) { w.embedding_projection.bias.resize(1); }},
      {kPlain, ErrorCode::config_invalid, "norm_epsilon from 0 to below 1, found -1",
       [](auto& c, auto&) { c.norm_epsilon = -1.0F; }},
      {kPlain, ErrorCode::config_invalid, "attention_scale of finite numbers",
       [](auto& c, auto&) { c.attention_scale[1] = std::numeric_limits<float>::quiet_NaN(); }},
      {kPlain, ErrorCode::config_invalid, "gated layers", [](auto&, auto& w) { w.layers[0].ups = w.layers[0].keys; }},
      {kPlain, ErrorCode::config_invalid, "embedding that is projected",
       [](auto&, auto& w) { w.embedding_projection = w.layers[0].query; }},
      {kAdaptive, ErrorCode::config_invalid, "below vocab_size, 60, found 24 behind 24",
       [](auto& c, auto&) { c.adaptive_cutoffs[1] = 24; }},
      {kAdaptive, ErrorCode::config_invalid, "no head projection",
       [](auto&, auto& w) { w.head_projection = w.layers[0].query; }},
  };
  for (const Spoilt& spoilt : cases) check_refused(spoilt);
}

TEST_CASE("check_checkpoint: weights that are not what the configuration asks for are refused by name") {
  const auto missing = ErrorCode::tensor_missing;
  const auto shape = ErrorCode::tensor_shape;
  const std::vector<Spoilt> cases{
      {kPlain, missing, "expected 3 layers and 0 bands, found 2 and 0", [](auto&, auto& w) { w.layers.pop_back(); }},
      {kPlain, missing, "layer 2: query: expected [24, 24], found none", [](auto&, auto& w) { w.layers[2].query = {}; }},
      {kPlain, shape, "layer 1: key: expected [24, 24], found [24, 23]",
       [](auto&, auto& w) { w.layers[1].key.matrix.cols = 23; }},
      {kPlain, shape, "layer 0: value: expected [24], found [23]", [](auto&, auto& w) { w.layers[0].value.bias.pop_back(); }},
      {kPlain, shape, "layer 0: output: expected [24, 24]", [](auto&, auto& w) { w.layers[0].output.matrix.rows = 25; }},
      {kPlain, shape, "layer 0: keys: expected [44, 24], found [24, 44]",
       [](auto&, auto& w) { w.layers[0].keys.matrix = w.layers[0].keys.matrix.transposed(); }},
      {kPlain, shape, "layer 0: values: expected [44, 24]", [](auto&, auto& w) { w.layers[0].values.rows = 45; }},
      {kPlain, shape, "layer 0: values' bias: expected [24]", [](auto&, auto& w) { w.layers[0].values_bias.resize(1); }},
      {kPlain, shape, "layer 0: ffn_in norm: expected [24], found [25]",
       [](auto&, auto& w) { w.layers[0].ffn_in.weight.push_back(1.0F); }},
      {kPlain, ErrorCode::tensor_dtype, "layer 0: keys: expected F32, BF16, F16 or F64, found I64",
       [](auto&, auto& w) { w.layers[0].keys.matrix.dtype = DType::i64; }},
      {kPlain, shape, "token embedding: expected [65, 24], found [64, 24]", [](auto& c, auto&) { c.vocab_size = 65; }},
      {kPlain, shape, "position embedding: expected [33, 24], found [32, 24]", [](auto& c, auto&) { c.max_positions = 33; }},
      {kPlain, shape, "head: expected [64, 24], found [63, 24]", [](auto&, auto& w) { w.head.matrix.rows = 63; }},
      {kPlain, shape, "final norm: expected [24]", [](auto&, auto& w) { w.final_norm.bias.resize(1); }},
      {kPlain, shape, "embedding norm's weight: expected none, as the norm is not present, found [1]",
       [](auto&, auto& w) { w.embedding_norm.weight.resize(1); }},
      {kPlain, shape, "final norm's weight: expected none", [](auto&, auto& w) { w.final_norm.present = false; }},
      {kGated, shape, "final norm's bias: expected none, as RMS norms have none, found [1]",
       [](auto&, auto& w) { w.final_norm.bias.resize(1); }},
      {kPlain, shape, "head projection's bias: expected none", [](auto&, auto& w) { w.head_projection.bias.resize(1); }},
      {kGated, shape, "layer 0: query norm's bias: expected none, as norms of heads have none",
       [](auto&, auto& w) { w.layers[0].query_norm.bias.resize(1); }},
      {kGated, missing, "layer 0: ups: expected", [](auto&, auto& w) { w.layers[0].ups = {}; }},
      {kGated, shape, "layer 0: query norm: expected", [](auto&, auto& w) { w.layers[0].query_norm.weight.push_back(1.0F); }},
      {kGated, shape, "layer 0: key norm: expected", [](auto&, auto& w) { w.layers[0].key_norm.weight.clear(); }},
      {kProjected, missing, "embedding projection: expected", [](auto&, auto& w) { w.embedding_projection = {}; }},
      {kProjected, shape, "head projection: expected", [](auto&, auto& w) { --w.head_projection.matrix.cols; }},
      {kProjected, shape, "head: expected", [](auto&, auto& w) { w.head_projection = {}; }},
  };
  for (const Spoilt& spoilt : cases) check_refused(spoilt);
}

TEST_CASE("check_checkpoint: an adaptive softmax's bands fit its cutoffs and each other") {
  const auto missing = ErrorCode::tensor_missing;
  const auto shape = ErrorCode::tensor_shape;
  const std::vector<Spoilt> cases{
      {kAdaptive, missing, "3 bands, found", [](auto&, auto& w) { w.bands.pop_back(); }},
      {kAdaptive, shape, "band 1: table: expected [16,", [](auto&, auto& w) { w.bands[1].table.rows = 17; }},
      {kAdaptive, shape, "band 0: table: expected", [](auto& c, auto&) { --c.d_embedding; }},
      {kAdaptive, shape, "band 2: projection in: expected", [](auto&, auto& w) { ++w.bands[2].in_projection.cols; }},
      {kAdaptive, shape, "band 1: projection out: expected", [](auto&, auto& w) { ++w.bands[1].out_projection.rows; }},
      {kAdaptive, shape, "band 2: softmax table: expected", [](auto&, auto& w) { w.bands[2].out_projection = {}; }},
      {kAdaptive, shape, "band head: expected [2,", [](auto&, auto& w) { w.band_head.rows = 1; }},
  };
  for (const Spoilt& spoilt : cases) check_refused(spoilt);
}

TEST_CASE("model: a layer that the model has not is refused") {
  const Error error = thrown([] { tiny_model()->layer(3); });
  CHECK(error.code() == ErrorCode::layer_out_of_range);
  CHECK_MESSAGE(contains(error.what(), "layer 3: the model has layers 0 to 2"), error.what());
  CHECK(tiny_model()->layer(2).keys);
}

}  // namespace ffmem
