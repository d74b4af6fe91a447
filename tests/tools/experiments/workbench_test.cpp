// Intermediate results: computed once, and again only where an option that bears on them changes.
#include "tools/experiments/workbench.hpp"

#include <doctest/doctest.h>
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/experiments/experiment_models.hpp"
#include "tools/experiments/coefficient_histogram.hpp"
#include "tools/experiments/effect_table.hpp"
#include "tools/experiments/layer_pass.hpp"
#include "tools/experiments/nearest_values.hpp"
#include "tools/experiments/token_counts.hpp"
#include "tools/experiments/token_removal.hpp"
#include "tools/experiments/value_predictions.hpp"
#include "tools/experiments/value_scores.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

using Files = std::map<std::string, std::filesystem::file_time_type>;

/// Makes sure of the intermediate results, and says when each was written.
Files files_of_run(const ExperimentOptions& options) {
  Workbench bench(options);
  removed_coefficients(bench);
  value_scores(bench);
  token_counts(bench);
  coefficient_histogram(bench);
  layer_pass(bench);
  effect_table(bench);
  nearest_values(bench, 2);
  const ValuePredictions values(bench);
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(options.out / "data")) {
    files[entry.path().stem().string()] = entry.last_write_time();
  }
  return files;
}

/// What is written again when `change` is made to the options of a run that is whole.
std::set<std::string> written_again(const ExperimentModel& model, const std::function<void(ExperimentOptions&)>& change) {
  ExperimentOptions options = model.options();
  const Files before = files_of_run(options);
  change(options);
  std::set<std::string> names;
  for (const auto& [name, time] : files_of_run(options)) {
    if (!before.contains(name) || before.at(name) != time) names.insert(name);
  }
  return names;
}

std::vector<std::string> names_of_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.tensors()) names.push_back(name);
  return names;
}

/// Writes the file again after `edit` changed the declaration of one tensor.
void edit_tensor(const std::filesystem::path& path, const std::string& name, const std::function<void(TensorToWrite&)>& edit) {
  const SafetensorsFile file(path);
  std::vector<TensorToWrite> tensors;
  for (const auto& [key, tensor] : file.tensors()) {
    tensors.push_back({key, tensor.dtype, tensor.shape, tensor.data});
    if (key == name) edit(tensors.back());
  }
  write_safetensors(path, tensors, file.metadata());
}

void shorten_tensor(const std::filesystem::path& path, const std::string& name) {
  edit_tensor(path, name, [](TensorToWrite& tensor) { --tensor.shape.front(); });
}

/// Makes the last of a tensor of signed whole numbers the largest there is; false for another tensor.
bool spoil_tensor(const std::filesystem::path& path, const std::string& name) {
  std::vector<std::byte> bytes;
  {
    const SafetensorsFile file(path);
    const StoredTensor& tensor = file.at(name);
    if (tensor.dtype != DType::i32 && tensor.dtype != DType::i64) return false;
    bytes.assign(tensor.data, tensor.data + tensor.n_bytes);
    std::fill(bytes.end() - static_cast<std::ptrdiff_t>(tensor.n_bytes / tensor.n_elements), bytes.end() - 1, std::byte{0xFF});
    bytes.back() = std::byte{0x7F};  // little-endian
  }
  edit_tensor(path, name, [&](TensorToWrite& tensor) { tensor.data = bytes.data(); });
  return true;
}

}  // namespace

TEST_CASE("Workbench: an option that changes has what rests on it computed again, and nothing else") {
  const ExperimentModel model;
  using Names = std::set<std::string>;
  CHECK(written_again(model, [](ExperimentOptions&) {}).empty());
  CHECK(written_again(model, [](ExperimentOptions& o) { o.target = Target::last_read; }) == Names{"value-scores"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.seed += 1; }) ==
        Names{"token-removal", "layer-pass", "memory-effects"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.n_examples += 1; }) == Names{"layer-pass"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.active_above = 0.5F; }) == Names{"layer-pass"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.stream_lens = Lens::raw; }) == Names{"layer-pass"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.value_lens = Lens::final_norm; }) ==
        Names{"values", "value-scores", "layer-pass", "memory-effects"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.one_per_sentence = true; }) == Names{"layer-pass", "memory-effects"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.removal_keys += 1; }) == Names{"token-removal"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.effect_layer = 0; }) == Names{"memory-effects"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.effect_examples += 1; }) == Names{"memory-effects"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.triggers.top += 1; }) ==
        Names{"triggers", "token-removal", "value-scores"});
  CHECK(written_again(model, [](ExperimentOptions& o) { o.triggers.max_sentences = 2; }) ==
        Names{"triggers", "token-removal", "value-scores", "token-counts"});
}

TEST_CASE("Workbench: a search for the smallest coefficients leaves the other's result, and takes negated values") {
  const ExperimentModel model("hf/llama");
  using Names = std::set<std::string>;
  CHECK(written_again(model, [](ExperimentOptions& o) { o.triggers.smallest = true; }) ==
        Names{"smallest-triggers", "token-removal", "value-scores"});
  ExperimentOptions options = model.options();
  options.triggers.smallest = true;
  Workbench bench(options);
  CHECK(bench.triggers().info().smallest);
  const ValueTable& negated = bench.values(bench.example_sign());
  CHECK(negated.sign == ValueSign::minus);
  CHECK(negated.tokens != bench.values(ValueSign::plus).tokens);
  const ValueScores scores = value_scores(bench);
  for (std::size_t i = 0; i < scores.rank.size(); ++i) {
    if (scores.rank[i] == 0) CHECK(scores.target[i] == negated.tokens[i * negated.k]);
  }
  const ExperimentModel relu;
  options = relu.options();
  options.triggers.smallest = true;
  CHECK(contains(thrown([&] { Workbench(options).triggers(); }).what(), "--smallest: no coefficient of this model is below 0"));
}

TEST_CASE("Workbench: the model's own folder takes no results") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  options.out = options.model.folder / ".";
  CHECK_THROWS_AS(Workbench{options}, UsageError);
  CHECK_FALSE(std::filesystem::exists(options.model.folder / "data"));
}

TEST_CASE("Workbench: a result whose arrays are damaged is computed again, to the same bytes") {
  const ExperimentModel model("hf/llama");  // whose coefficients may be negative
  const ExperimentOptions options = model.options();
  for (const auto& [stem, time] : files_of_run(options)) {
    if (stem == "triggers") continue;
    const std::filesystem::path path = options.out / "data" / (stem + ".safetensors");
    CAPTURE(path);
    const std::string whole = read_text_file(path);
    for (const std::string& name : names_of_tensors(path)) {
      if (name == "max_probability") continue;  // which no experiment reads
      CAPTURE(name);
      shorten_tensor(path, name);
      files_of_run(options);
      CHECK(read_text_file(path) == whole);
      if (!spoil_tensor(path, name)) continue;
      files_of_run(options);
      CHECK(read_text_file(path) == whole);
    }
  }
}

TEST_CASE("Workbench: a result of another weight mode is not taken, whatever its file is called") {
  const ExperimentModel model;
  ExperimentOptions options = model.options();
  const std::filesystem::path data = options.out / "data";
  files_of_run(options);
  const std::string exact = read_text_file(data / "layer-pass.safetensors");
  options.model.weights = WeightMode::int8;
  files_of_run(options);
  std::filesystem::copy_file(data / "layer-pass-int8.safetensors", data / "layer-pass.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  files_of_run(model.options());
  CHECK(read_text_file(data / "layer-pass.safetensors") == exact);
}

TEST_CASE("Workbench: what a killed run left half written is removed, and a user's file of such a name in OUT is not") {
  const ExperimentModel model;
  const ExperimentOptions options = model.options();
  const std::string dead = ".tmp.4194304";  // no process has this id
  const std::vector<std::string> gone{"report.html", "manifest.json", "data/values.safetensors",
                                      "data/triggers.safetensors.partial", "value-ranks/layers.csv"};
  const std::vector<std::string> kept{"draft", "notes.txt", "data/draft"};
  for (const char* folder : {"data", "value-ranks"}) std::filesystem::create_directories(options.out / folder);
  for (const auto& names : {gone, kept}) {
    for (const auto& name : names) model.texts().write("out/" + name + dead, "");
  }
  const Workbench bench(options);
  for (const auto& name : gone) CHECK_FALSE(std::filesystem::exists(options.out / (name + dead)));
  for (const auto& name : kept) CHECK(std::filesystem::exists(options.out / (name + dead)));
}

TEST_CASE("token_counts: every own token of every sentence counts, as far as the context and the asked sentences reach") {
  const ExperimentModel model;
  const auto total = [&](const std::function<void(ExperimentOptions&)>& change) {
    ExperimentOptions options = model.options();
    change(options);
    const Workbench bench(options);
    const std::vector<std::int64_t> counts = token_counts(bench);
    CHECK(counts.size() == bench.model()->config().vocab_size);
    SentenceReader reader(options.train, options.triggers.sentences);
    std::vector<std::int64_t> expected(counts.size(), 0);
    const std::size_t room = bench.context() - (bench.prefix_token() ? 1 : 0);
    while (const auto sentence = reader.next()) {
      if (options.triggers.max_sentences && reader.next_index() > *options.triggers.max_sentences) break;
      const std::vector<TokenId> tokens = bench.tokenizer()->encode(*sentence);
      for (std::size_t i = 0; i < std::min(room, tokens.size()); ++i) ++expected[static_cast<std::size_t>(tokens[i])];
    }
    CHECK(counts == expected);
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  };
  const std::int64_t all = total([](ExperimentOptions&) {});
  CHECK(total([](ExperimentOptions& o) { o.triggers.max_sentences = 2; }) < all);
  CHECK(total([](ExperimentOptions& o) { o.triggers.context = 4; }) < all);
}

TEST_CASE("effect_table: the examples that it keeps are those that were sampled") {
  const ExperimentModel model("hf/llama");
  Workbench bench(model.options());
  const ExampleSet kept = effect_table(bench).examples;
  const ExampleSet sampled = sample_examples(bench, bench.options().effect_examples, "memory-effects");
  REQUIRE(kept.size() == sampled.size());
  CHECK(kept.n_prefixes == sampled.n_prefixes);
  CHECK(kept.n_sentences == sampled.n_sentences);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    CHECK(std::ranges::equal(kept.prefix(i), sampled.prefix(i)));
    CHECK(kept.next(i) == sampled.next(i));
    CHECK(kept.sentences[kept.examples[i].sentence] == sampled.sentences[sampled.examples[i].sentence]);
  }
}
