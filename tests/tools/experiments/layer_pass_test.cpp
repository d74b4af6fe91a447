// The sampled prefixes, and the layer pass against a plain recomputation one prefix at a time.
#include "tools/experiments/layer_pass.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/l2_norm.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

/// Every prefix of a sample as (sentence, length).
std::set<std::pair<std::int64_t, std::size_t>> places(const ExampleSet& set) {
  std::set<std::pair<std::int64_t, std::size_t>> result;
  for (const Example& example : set.examples) result.emplace(set.sentences[example.sentence], example.length);
  return result;
}

struct Counts {
  std::int32_t active = 0;
  std::int32_t agree_active = 0;
  std::int32_t agree_all = 0;
  std::int32_t carrying = 0;  // 90 % of the sum of |m| |v|
  std::int32_t close = 0;     // memories whose two best tokens lie so near that rounding decides
};

/// Counts each memory of a layer by scoring it.
Counts count(const Workbench& bench, std::size_t layer, const std::vector<float>& m, TokenId token, Lens lens, float above) {
  const Model& model = *bench.model();
  Counts counts;
  std::vector<float> value(model.config().d_model);
  std::vector<float> masses;
  for (std::size_t unit = 0; unit < m.size(); ++unit) {
    counts.active += std::abs(m[unit]) > above ? 1 : 0;
    model.value_row(layer, unit, value.data());
    masses.push_back(std::abs(m[unit]) * static_cast<float>(l2_norm(value)));
    const auto bare = scores(model, value, lens);
    counts.agree_all += best(bare) == token ? 1 : 0;
    counts.close += gap(bare) < 1e-4F ? 1 : 0;
    if (m[unit] == 0.0F) continue;
    const bool weighted = ValuePredictions::scores_weighted(model, lens);
    const float factor = weighted ? m[unit] : m[unit] > 0.0F ? 1.0F : -1.0F;
    for (float& x : value) x *= factor;
    const auto own = scores(model, value, lens);
    counts.agree_active += best(own) == token ? 1 : 0;
    counts.close += gap(own) < 1e-4F * std::min(1.0F, std::abs(factor)) ? 1 : 0;
  }
  counts.carrying = static_cast<std::int32_t>(n_carrying(masses, 0.9));
  return counts;
}

void check_example(const Workbench& bench, const LayerPass& pass, std::size_t i) {
  const ExperimentOptions& options = bench.options();
  const Model& model = *bench.model();
  const SingleRun run(bench, pass.examples.prefix(i));
  const TokenId final_prediction = best(scores(model, run.at(Point::residual_post, pass.n_layers - 1), options.stream_lens));
  CHECK(pass.final_prediction(i) == final_prediction);
  for (std::size_t layer = 0; layer < pass.n_layers; ++layer) {
    CAPTURE(layer);
    const std::size_t at = pass.at(i, layer);
    const auto residual = scores(model, run.at(Point::residual_mid, layer), options.stream_lens);
    CHECK(pass.residual[at] == best(residual));
    CHECK(pass.log_p_final[at] == doctest::Approx(residual[static_cast<std::size_t>(final_prediction)]).epsilon(1e-5));
    CHECK(pass.ffn[at] == best(scores(model, run.at(Point::ffn_out, layer), options.stream_lens)));
    CHECK(pass.output[at] == best(scores(model, run.at(Point::residual_post, layer), options.stream_lens)));
    const TokenId ffn = best(scores(model, run.at(Point::ffn_out, layer), options.value_lens));
    CHECK(pass.ffn_value_lens[at] == ffn);
    const Counts counts =
        count(bench, layer, run.at(Point::coefficients, layer), ffn, options.value_lens, options.active_above);
    CHECK(pass.active[at] == counts.active);
    CHECK(pass.mass[at] == counts.carrying);
    CHECK(std::abs(pass.agree_active[at] - counts.agree_active) <= counts.close);
    CHECK(std::abs(pass.agree_all[at] - counts.agree_all) <= counts.close);
  }
}

}  // namespace

TEST_CASE("example_set: as many as asked for, each prefix once, with the token behind it") {
  const ExperimentModel model("hf/gpt2-relu");
  auto options = model.options();
  const Workbench bench(options);
  const ExampleSet set = sample_examples(bench, 20, "test");
  CHECK(set.size() == 20);
  CHECK(places(set).size() == 20);
  for (std::size_t i = 0; i < set.size(); ++i) {
    const Example& example = set.examples[i];
    const auto own = std::span(set.tokens).subspan(set.offsets[example.sentence]);
    REQUIRE(example.length >= 1);
    REQUIRE(set.offsets[example.sentence] + example.length < set.offsets[example.sentence + 1]);
    CHECK(set.prefix(i).size() == example.length);
    CHECK(set.next(i) == own[example.length]);
  }
  CHECK(places(sample_examples(bench, 20, "test")) == places(set));
  CHECK(places(sample_examples(bench, 20, "other")) != places(set));
}

TEST_CASE("example_set: more than there are gives all prefixes that have a next token") {
  const ExperimentModel model("hf/gpt2-relu");
  model.write_text("w3 w4 w5\n\nw6\nw7 w8\n");
  const Workbench bench(model.options());
  const ExampleSet set = sample_examples(bench, 100, "test");
  CHECK(set.n_prefixes == 3);
  CHECK(set.n_sentences == 2);
  CHECK(places(set) == std::set<std::pair<std::int64_t, std::size_t>>{{0, 1}, {0, 2}, {2, 1}});
}

TEST_CASE("example_set: one prefix a sentence, each sentence once") {
  const ExperimentModel model("hf/gpt2-relu");
  auto options = model.options();
  options.one_per_sentence = true;
  const Workbench bench(options);
  const ExampleSet set = sample_examples(bench, 6, "test");
  std::set<std::size_t> sentences;
  for (const Example& example : set.examples) sentences.insert(example.sentence);
  CHECK(set.size() == 6);
  CHECK(sentences.size() == 6);
  CHECK(sample_examples(bench, 1000, "test").size() == set.n_sentences);
}

TEST_CASE("example_set: every prefix is as likely as any other") {
  const ExperimentModel model("hf/gpt2-relu");
  model.write_text("w3 w4 w5 w6 w7 w8\nw9 w10 w11\n");
  const Workbench bench(model.options());
  std::map<std::pair<std::int64_t, std::size_t>, int> drawn;
  for (int i = 0; i < 700; ++i) {
    for (const auto& place : places(sample_examples(bench, 1, concat("test/", i)))) ++drawn[place];
  }
  CHECK(drawn.size() == 7);
  for (const auto& [place, n] : drawn) CHECK(std::abs(n - 100) < 40);
}

TEST_CASE("example_set: a text without two tokens in a sentence is an error") {
  const ExperimentModel model("hf/gpt2-relu");
  model.write_text("w3\nw4\n");
  const Workbench bench(model.options());
  CHECK(thrown([&] { sample_examples(bench, 1, "test"); }).code() == ErrorCode::corpus_empty);
}

TEST_CASE("layer_pass: every number is what scoring each vector and each value by itself gives, for every kind of model") {
  for (const std::string& golden : kExperimentGoldens) {
    CAPTURE(golden);
    const ExperimentModel model(golden);
    for (const auto& [value_lens, stream_lens] :
         {std::pair{Lens::raw, Lens::final_norm}, std::pair{Lens::final_norm, Lens::raw}}) {
      auto options = model.options();
      options.value_lens = value_lens;
      options.stream_lens = stream_lens;
      options.n_examples = 9;
      options.active_above = golden == "hf/gpt2-relu" ? 0.0F : 0.1F;
      Workbench bench(options);
      const LayerPass pass = layer_pass(bench);
      REQUIRE(pass.examples.size() == 9);
      for (std::size_t i = 0; i < pass.examples.size(); ++i) check_example(bench, pass, i);
    }
  }
}

TEST_CASE("layer_pass: batches and threads do not matter") {
  const ExperimentModel model("hf/llama");
  auto options = model.options();
  options.n_examples = 40;
  Workbench bench(options);
  const LayerPass pass = measure_layers(bench, ValuePredictions(bench), sample_examples(bench, 40, "test"));
  for (const std::size_t batch_tokens : {1, 7, 30}) {
    options.triggers.batch_tokens = batch_tokens;
    options.model.threads = 1;
    Workbench other(options);
    const LayerPass same = measure_layers(other, ValuePredictions(other), sample_examples(other, 40, "test"));
    CHECK(same.active == pass.active);
    CHECK(same.mass == pass.mass);
    CHECK(same.agree_active == pass.agree_active);
    CHECK(same.output == pass.output);
    CHECK(same.log_p_final == pass.log_p_final);
  }
}

TEST_CASE("layer_pass: it is kept, and made anew where something else was asked for") {
  const ExperimentModel model("hf/gpt2-relu");
  auto options = model.options();
  options.n_examples = 5;
  Workbench bench(options);
  const LayerPass pass = layer_pass(bench);
  const auto file = options.out / "data" / "layer-pass.safetensors";
  const auto time = std::filesystem::last_write_time(file);
  const ExampleSet drawn = sample_examples(bench, 5, "examples");
  const std::string text = read_text_file(options.valid.front());
  std::filesystem::remove(options.valid.front());  // the file has all that is needed
  const LayerPass again = layer_pass(bench);
  model.write_text(text);
  CHECK(again.log_p_final == pass.log_p_final);
  REQUIRE(again.examples.size() == drawn.size());
  CHECK(again.examples.n_prefixes == drawn.n_prefixes);
  CHECK(again.examples.n_sentences == drawn.n_sentences);
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    CHECK(std::ranges::equal(again.examples.prefix(i), drawn.prefix(i)));
    CHECK(again.examples.next(i) == drawn.next(i));
    CHECK(again.examples.sentences[again.examples.examples[i].sentence] == drawn.sentences[drawn.examples[i].sentence]);
  }
  CHECK(std::filesystem::last_write_time(file) == time);
  options.active_above = 0.5F;
  Workbench other(options);
  CHECK(layer_pass(other).active != pass.active);
  CHECK(SafetensorsFile(file).metadata().at("active_above") == "0.5");
}

TEST_CASE("n_carrying: the fewest weights that reach the share") {
  const auto carrying = [](std::vector<float> weights, double share) { return n_carrying(weights, share); };
  CHECK(carrying({}, 0.9) == 0);
  CHECK(carrying({0.0F, 0.0F}, 0.9) == 0);
  CHECK(carrying({1.0F}, 0.9) == 1);
  CHECK(carrying({1.0F, 9.0F}, 0.9) == 1);
  CHECK(carrying({1.0F, 8.0F, 1.0F}, 0.9) == 2);
  CHECK(carrying({1.0F, 1.0F, 1.0F, 1.0F}, 0.5) == 2);
  CHECK(carrying({1.0F, 1.0F, 1.0F, 1.0F}, 1.0) == 4);
}
