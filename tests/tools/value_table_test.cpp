#include "tools/value_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/aligned_buffer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

ValueTable small_table() {
  return {.first_layer = 2,
          .n_layers = 1,
          .d_memory = 2,
          .k = 2,
          .lens = Lens::final_norm,
          .sign = ValueSign::minus,
          .model = "/models/small",
          .model_fingerprint = "0123456789abcdef",
          .weights = "bf16",
          .tokens = {4, 1, 0, 2},
          .probabilities = {0.5F, 0.25F, 0.75F, 0.125F}};
}

}  // namespace

TEST_CASE("value_table: each value's tokens are those of the highest probability under the model's own softmax") {
  const auto model = Model::load(FFMEM_DEMO_MODEL);
  const OutputHead& head = model->head();
  for (const Lens lens : {Lens::raw, Lens::final_norm}) {
    const ValueSign sign = lens == Lens::raw ? ValueSign::minus : ValueSign::plus;
    ValueTable table{
        .first_layer = 10, .n_layers = 2, .d_memory = model->config().d_memory, .k = 3, .lens = lens, .sign = sign};
    table.asked = {17, 4242};
    std::size_t n_done = 0;
    compute_values(*model, table, [&](std::size_t n) { n_done = n; });
    REQUIRE(n_done == 2 * table.d_memory);
    REQUIRE(table.tokens.size() == n_done * 3);
    for (const std::size_t value : {std::size_t{0}, std::size_t{255}, std::size_t{256}, n_done - 1}) {
      const AlignedBuffer row(model->config().d_model);
      const AlignedBuffer hidden(head.hidden_width());
      const AlignedBuffer log_p(head.vocab_size());
      model->value_row(10 + value / table.d_memory, value % table.d_memory, row.data());
      if (sign == ValueSign::minus) std::transform(row.data(), row.data() + row.size(), row.data(), std::negate());
      head.to_hidden(row.matrix(1, row.size()), lens, hidden.matrix(1, hidden.size()));
      head.log_probabilities(hidden.matrix(1, hidden.size()), log_p.matrix(1, log_p.size()));
      for (std::size_t a = 0; a < table.asked.size(); ++a) {
        const float own = log_p.data()[table.asked[a]];
        const auto above = std::count_if(log_p.data(), log_p.data() + log_p.size(), [&](float p) { return p > own; });
        CHECK(table.asked_ranks[value * 2 + a] == above);
        CHECK(table.asked_probabilities[value * 2 + a] == doctest::Approx(std::exp(own)).epsilon(1e-5));
      }
      std::vector<float> best(log_p.data(), log_p.data() + log_p.size());
      std::ranges::sort(best, std::greater<>());
      for (std::size_t i = 0; i < 3; ++i) {
        const float p = table.probabilities[value * 3 + i];
        CHECK(p == doctest::Approx(std::exp(best[i])).epsilon(1e-5));
        CHECK(p == doctest::Approx(std::exp(log_p.data()[table.tokens[value * 3 + i]])).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("value_table: what was written is read back") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "values";
  write_value_table(path, small_table());
  const ValueTable read = read_value_table(path);
  CHECK(read.first_layer == 2);
  CHECK(read.n_layers == 1);
  CHECK(read.d_memory == 2);
  CHECK(read.k == 2);
  CHECK(read.lens == Lens::final_norm);
  CHECK(read.model == "/models/small");
  CHECK(read.model_fingerprint == "0123456789abcdef");
  CHECK(read.weights == "bf16");
  CHECK(read.sign == ValueSign::minus);
  CHECK(read.tokens == small_table().tokens);
  CHECK(read.probabilities == small_table().probabilities);
  const SafetensorsFile file(path);
  const auto best = file.at("max_probability").values<float>();
  CHECK(std::vector(best.begin(), best.end()) == std::vector<float>{0.5F, 0.75F});
}

TEST_CASE("value_table: tokens below 0 and probabilities that are none are errors when read") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "values";
  const auto refused = [&](const ValueTable& table) {
    write_value_table(path, table);
    const Error error = thrown([&] { read_value_table(path); });
    CHECK(error.code() == ErrorCode::store_invalid);
    return std::string(error.what());
  };
  ValueTable table = small_table();
  table.tokens[2] = -1;
  CHECK(contains(refused(table), "tokens: expected ids from 0 on, found -1"));
  for (const float p : {NAN, -0.5F}) {
    table = small_table();
    table.probabilities[3] = p;
    CHECK(contains(refused(table), "probabilities: expected numbers from 0 on"));
  }
}

TEST_CASE("value_table: metadata 'negated' that says neither true nor false is an error when read") {
  const TemporaryFolder folder;
  write_value_table(folder.path() / "values", small_table());
  const SafetensorsFile file(folder.path() / "values");
  auto metadata = file.metadata();
  metadata["negated"] = "yes";
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : file.tensors()) tensors.push_back({name, tensor.dtype, tensor.shape, tensor.data});
  write_safetensors(folder.path() / "other", tensors, metadata);
  const Error error = thrown([&] { read_value_table(folder.path() / "other"); });
  CHECK(error.code() == ErrorCode::store_invalid);
  CHECK(contains(error.what(), "'negated': expected true or false, found 'yes'"));
}

TEST_CASE("value_table: places of asked tokens are written where there are any") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "values";
  write_value_table(path, small_table());
  CHECK(SafetensorsFile(path).find("asked_tokens") == nullptr);
  ValueTable table = small_table();
  table.asked = {3};
  table.asked_ranks = {1, 7};
  table.asked_probabilities = {0.25F, 0.0625F};
  write_value_table(path, table);
  const SafetensorsFile file(path);
  CHECK(file.at("asked_tokens").copy<TokenId>() == table.asked);
  CHECK(file.at("asked_ranks").shape == std::vector<std::size_t>{1, 2, 1});
  CHECK(file.at("asked_ranks").copy<std::int32_t>() == table.asked_ranks);
  CHECK(file.at("asked_probabilities").copy<float>() == table.asked_probabilities);
}

TEST_CASE("value_table: files that are no value table are errors") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "values";
  const float number = 1.0F;
  const auto error_with = [&](const std::map<std::string, std::string>& metadata) {
    write_safetensors(path, {{"tokens", DType::f32, {1}, &number}}, metadata);
    return thrown([&] { read_value_table(path); });
  };
  CHECK(error_with({}).code() == ErrorCode::store_invalid);
  CHECK(contains(error_with({{"format", "ffmem-triggers"}, {"version", "3"}}).what(), "expected format ffmem-values"));
  CHECK(error_with({{"format", "ffmem-values"}, {"version", "3"}}).code() == ErrorCode::tensor_missing);
}
