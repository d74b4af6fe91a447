// Measuring speed: what a pass costs, random models, and the command.
#include <doctest/doctest.h>

#include "ops/cpu/dispatch.hpp"
#include "ops/error.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tools/speed/machine_peaks.hpp"
#include "tools/speed/median.hpp"
#include "tools/speed/pass_cost.hpp"
#include "tools/speed/random_checkpoint.hpp"
#include "tools/speed/speed_run.hpp"

using namespace ffmem;
using namespace ffmem::tools;
using Json = nlohmann::json;
using Kind = ModelShape::Kind;

namespace {

const ModelShape kGpt2{"small", Kind::gpt2, 2, 32, 96, 4, 4, 200, 64};
const ModelShape kPaper{"small", Kind::paper, 2, 64, 256, 4, 4, 200, 64, {50, 120}};
const ModelShape kLlama{"small", Kind::llama, 2, 32, 96, 4, 2, 200, 64};
const SpeedPlan kPlan{.prompt = 16, .new_tokens = 3, .batch = 2, .repeat = 2};

std::shared_ptr<const Model> random_model(const ModelShape& shape, const RandomOptions& random = {},
                                          WeightMode weights = WeightMode::f32) {
  return Model::from_checkpoint(random_checkpoint(shape, random), {.weights = weights});
}

}  // namespace

TEST_CASE("median: the middle number, or the mean of the two in the middle") {
  CHECK(median({3.0}) == 3.0);
  CHECK(median({5.0, 1.0, 2.0}) == 2.0);
  CHECK(median({8.0, 1.0, 2.0, 4.0}) == 3.0);
}

TEST_CASE("pass_cost: products, attention and bytes are those of the shapes") {
  const auto model = random_model(kGpt2);
  const double layers = 2 * (4 * 32 * 32 + 2 * 32 * 96);
  const double head = 200 * 32;
  const PassCost prompt = cost_of(*model, {.n_sequences = 2, .n_rows = 3, .n_scored = 2});
  CHECK(prompt.layer_flop == 2 * 6 * layers);
  CHECK(prompt.head_flop == 2 * 2 * head);
  CHECK(prompt.attention_flop == 2 * 2 * (1 + 2 + 3) * 4 * 32);
  CHECK(prompt.bytes == 4 * (layers + head + 2 * 2 * 3 * 2 * 32));

  const PassCost step = cost_of(*model, {.past = 10, .n_scored = 0, .active_share = 0.25});
  CHECK(step.layer_flop == 2 * (layers - 0.75 * 2 * 32 * 96));
  CHECK(step.head_flop == 0);
  CHECK(step.attention_flop == 2 * 11 * 4 * 32);
  CHECK(step.bytes == 4 * (layers - 0.75 * 2 * 32 * 96 + 2 * 11 * 2 * 32));
}

TEST_CASE("pass_cost: weights count as their mode holds them, and grouped heads and bands for what they are") {
  const double layers = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 96);
  const PassShape step{.past = 0, .n_scored = 0};
  const double cached = 2 * 2 * 16 * 4;
  CHECK(cost_of(*random_model(kLlama, {}, WeightMode::f32), step).bytes == layers * 4 + cached);
  CHECK(cost_of(*random_model(kLlama, {.stored = DType::bf16}, WeightMode::f32), step).bytes == layers * 2 + cached);
  CHECK(cost_of(*random_model(kLlama, {}, WeightMode::bf16), step).bytes == layers * 2 + cached);
  CHECK(cost_of(*random_model(kLlama, {}, WeightMode::int8), step).bytes == layers * (1 + 4.0 / 64) + cached);
  CHECK(cost_of(*random_model(kLlama, {}, WeightMode::int4), step).bytes == layers * (0.5 + 4.0 / 32) + cached);
  const double bands = 50 * 64 + 2 * 64 + (70 * 16 + 16 * 64) + (80 * 4 + 4 * 64);
  CHECK(cost_of(*random_model(kPaper), {.n_scored = 1}).head_flop == 2 * bands);
}

TEST_CASE("random_checkpoint: the same options give the same weights, another seed or layer others") {
  const LoadedCheckpoint a = random_checkpoint(kGpt2);
  const LoadedCheckpoint b = random_checkpoint(kGpt2);
  const LoadedCheckpoint c = random_checkpoint(kGpt2, {.seed = 2});
  const auto first_row = [](const WeightMatrix& w) {
    std::vector<float> row(w.cols);
    read_row(w, 0, row.data());
    return row;
  };
  const auto keys = [&](const LoadedCheckpoint& from, std::size_t l) { return first_row(from.weights.layers[l].keys.matrix); };
  CHECK(keys(a, 0) == keys(b, 0));
  CHECK(keys(a, 0) != keys(c, 0));
  CHECK(keys(a, 0) != keys(a, 1));
  CHECK(a.weights.stored_dtypes == "F32");
  CHECK(random_checkpoint(kGpt2, {.stored = DType::bf16}).weights.stored_dtypes == "BF16");
  const std::size_t layer = 4 * 32 * 32 + 4 * 32 + 2 * 32 * 96 + 96 + 32 + 4 * 32;
  CHECK(a.weights.n_parameters == 200 * 32 + 64 * 32 + 2 * layer + 2 * 32);
}

TEST_CASE("random_checkpoint: every kind of model runs in every mode, stored in either type") {
  const SpeedPlan plan{.prompt = 16, .new_tokens = 3, .batch = 2, .repeat = 1};
  for (const ModelShape& shape : {kGpt2, kPaper, kLlama}) {
    for (const WeightMode mode : {WeightMode::f32, WeightMode::bf16, WeightMode::int8, WeightMode::int4}) {
      for (const DType stored : {DType::f32, DType::bf16}) {
        const SpeedResult result = measure_speed(random_model(shape, {.stored = stored}, mode), plan);
        CHECK(result.prompt.tokens_per_second.size() == 1);
        CHECK(result.decode.tokens_per_second.size() == 1);
        CHECK(result.prompt.n_tokens == 32);
        CHECK(result.decode.n_tokens == 6);
        CHECK(result.active_share.has_value() == (shape.kind == Kind::paper));
      }
    }
  }
}

TEST_CASE("random_checkpoint: the share of active memories is the one asked for, and saves the values' bytes") {
  const SpeedPlan plan{.prompt = 60, .new_tokens = 2, .repeat = 1};
  const SpeedResult few = measure_speed(random_model(kPaper, {.activity = 0.15}), plan);
  const SpeedResult all = measure_speed(random_model(kPaper, {.activity = 1.0}), plan);
  CHECK(few.active_share.value() == doctest::Approx(0.15).epsilon(0.1));
  CHECK(all.active_share.value() == 1.0);
  const double values = 2 * 2 * 64 * 256 * 4;  // of two tokens
  CHECK(all.decode.cost.bytes - few.decode.cost.bytes == doctest::Approx((1 - few.active_share.value()) * values));

  // Two sequences read what is active in either, more than six everything.
  const auto bytes_of = [&](std::size_t batch) {
    const SpeedPlan side_by_side{.prompt = 60, .new_tokens = 2, .batch = batch, .repeat = 1};
    const SpeedResult found = measure_speed(random_model(kPaper, {.activity = 0.15}), side_by_side);
    return std::pair(found.decode.cost.bytes, found.active_share.value());
  };
  const auto all_of = [&](std::size_t batch) {
    const SpeedPlan side_by_side{.prompt = 60, .new_tokens = 2, .batch = batch, .repeat = 1};
    return measure_speed(random_model(kPaper, {.activity = 1.0}), side_by_side).decode.cost.bytes;
  };
  const auto [bytes, share] = bytes_of(2);
  CHECK(all_of(2) - bytes == doctest::Approx((1 - share) * (1 - share) * values));
  CHECK(all_of(7) == bytes_of(7).first);
}

TEST_CASE("random_checkpoint: what cannot be made is refused") {
  CHECK(thrown([] { find_shape("gpt5"); }).code() == ErrorCode::argument_invalid);
  CHECK(contains(thrown([] { find_shape("gpt5"); }).what(), "gpt2-medium"));
  CHECK(find_shape("paper").adaptive_cutoffs.size() == 2);
  CHECK(thrown([] { random_checkpoint(kGpt2, {.stored = DType::f16}); }).code() == ErrorCode::argument_invalid);
  for (const double activity : {0.0, 1.5}) {
    CHECK(thrown([&] { random_checkpoint(kPaper, {.activity = activity}); }).code() == ErrorCode::argument_invalid);
  }
  CHECK(thrown([] { random_checkpoint(kGpt2, {.activity = 0.5}); }).code() == ErrorCode::argument_invalid);
}

TEST_CASE("machine_peaks: the instruction set that runs here has a rate for every format") {
  for (const WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    CHECK(peak_flops(choose_kernels({}).isa, format) > 1e8);
  }
  CHECK(peak_read_bytes(2) > 1e7);
}

TEST_CASE("machine_peaks: threads whose number does not divide the memory read within their parts") {
  CHECK(ReadProbe(3).bytes_per_second() > 1e7);  // beyond them: the address sanitizer's to see
}

TEST_CASE("measure_speed: each phase of each round has the machine's rates around it") {
  SpeedPlan plan = kPlan;
  plan.repeat = 3;
  const SpeedResult result = measure_speed(random_model(kGpt2), plan);
  for (const PhaseSpeed* phase : {&result.prompt, &result.decode}) {
    CHECK(phase->machine.size() == 3);
    for (const MachineRates& rates : phase->machine) {
      CHECK(rates.read_bytes > 1e7);
      CHECK(rates.f32_flops > 1e8);
      CHECK(rates.layer_flops == rates.f32_flops);
      CHECK(rates.head_flops == rates.f32_flops);
    }
  }
  CHECK(result.prompt.machine[0].f32_flops != result.prompt.machine[1].f32_flops);  // measured, not once for all
}

TEST_CASE("mean: each rate is the mean of the two") {
  const MachineRates rates = mean({1.0, 2.0, 3.0, 4.0}, {3.0, 6.0, 9.0, 12.0});
  CHECK(rates.f32_flops == 2.0);
  CHECK(rates.layer_flops == 4.0);
  CHECK(rates.head_flops == 6.0);
  CHECK(rates.read_bytes == 8.0);
}

TEST_CASE("measure_speed: progress is told of each round when it is done, the first one too") {
  std::vector<std::size_t> told;
  measure_speed(random_model(kGpt2), kPlan, [&](std::size_t done) { told.push_back(done); });
  CHECK(told == std::vector<std::size_t>{38, 76, 114});  // 2 x (16 + 3) tokens a round
}

TEST_CASE("ffmem bench: a folder's model, for programs") {
  const Json result = json_output({"bench", kTiny, "--prompt", "20", "--new", "3", "--batch", "2", "--repeat", "3", "--logits",
                                   "all", "--threads", "1", "--weights", "int8", "--json"});
  CHECK(result["model"] == kTiny);
  CHECK(result["shape"].is_null());
  CHECK(result["weights"] == "int8");
  CHECK(result["logits"] == "all");
  CHECK(result["batch"] == 2);
  CHECK(result["repeat"] == 3);
  CHECK(result["threads"] == 1);
  CHECK_FALSE(result["ffmem"].get<std::string>().empty());
  CHECK(result["compiler"] == __VERSION__);
  CHECK((result["processor"].is_null() || !result["processor"].get<std::string>().empty()));
  CHECK(result["active_share"] > 0.0);
  CHECK(result["active_share"] < 1.0);
  CHECK(result["read_bytes_per_second"] > 0.0);
  for (const char* peak : {"f32", "weights", "head"}) CHECK(result["peak_flops"][peak] > 0.0);
  for (const char* part : {"resident", "converted_weights", "kv_cache", "workspace"}) CHECK(result["memory_bytes"][part] > 0);
  CHECK(result["prompt"]["tokens"] == 20);
  CHECK(result["decode"]["tokens"] == 3);
  for (const char* phase : {"prompt", "decode"}) {
    const Json& p = result[phase];
    CHECK(p["slowest"] <= p["tokens_per_second"]);
    CHECK(p["tokens_per_second"] <= p["fastest"]);
    CHECK(p["slowest"] > 0.0);
    for (const char* figure : {"flop_per_token", "bytes_per_token", "share_of_peak", "share_of_read_rate"}) {
      CHECK(p[figure] > 0.0);
    }
  }
}

TEST_CASE("ffmem bench: without --prompt it is as long as a short context leaves") {
  const Json result = json_output({"bench", kTiny, "--new", "3", "--repeat", "1", "--json"});
  CHECK(result["prompt"]["tokens"] == 32 - 3);
}

TEST_CASE("ffmem bench: for people, with the activity of a ReLU model") {
  const std::string text = output({"bench", kTiny, "--prompt", "8", "--new", "2", "--repeat", "1"});
  for (const char* part : {"model ", "machine ", "memory ", "active ", "prompt   1 x 8, logits last: ", "decode   1 x 2: "}) {
    CHECK(contains(text, part));
  }
}

TEST_CASE("ffmem bench: command lines that make no sense") {
  check_complaint({"bench"}, 2, {"either a MODEL folder or --shape"});
  check_complaint({"bench", kTiny, "--shape", "gpt2"}, 2, {"either a MODEL folder or --shape"});
  check_complaint({"bench", "--shape", "gpt5"}, 2, {"gpt2-medium"});
  check_complaint({"bench", kTiny, "--activity", "0.5"}, 2, {"--activity"});
  check_complaint({"bench", kTiny, "--prompt", "0"}, 2, {"--prompt"});
  check_complaint({"bench", kTiny, "--logits", "some"}, 2, {"--logits"});
  check_complaint({"bench", kTiny, "--prompt", "30", "--new", "3"}, 1, {"the model's context is 32"});
  check_complaint({"bench", "--shape", "gpt2", "--activity", "0.5"}, 1, {"plain ReLU"});
}

TEST_CASE("ffmem triggers: --compare-forward tells what the search costs and changes no byte of its result") {
  const TemporaryFolder folder;
  const std::string corpus = folder.write("corpus", "The river rose by two metres .\nThe king never answered the letter .\n");
  const auto search = [&](const std::string& out, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"triggers", kDemo, corpus, "-o", out, "--top", "3", "--batch-tokens", "8", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return ffmem_command(arguments);
  };
  const std::string plain = (folder.path() / "plain").string();
  const std::string compared = (folder.path() / "compared").string();
  const CommandResult without = search(plain, {});
  CHECK(Json::parse(without.out)["compare_forward"].is_null());
  CHECK(Json::parse(without.out)["tokens_per_second"] > 0.0);

  const CommandResult with = search(compared, {"--compare-forward"});
  const Json result = Json::parse(with.out);
  const Json& rates = result["compare_forward"];
  CHECK(rates["tokens"] == result["tokens"]);
  const double search_rate = rates["search_tokens_per_second"];
  const double forward_rate = rates["forward_tokens_per_second"];
  CHECK(search_rate > 0.0);
  CHECK(rates["search_costs"].get<double>() == doctest::Approx(forward_rate / search_rate - 1.0));
  CHECK(contains(with.err, "the model's passes alone"));
  CHECK(read_text_file(plain) == read_text_file(compared));
}
