#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "hooks/record.hpp"
#include "loaders/mapped_file.hpp"
#include "loaders/safetensors_writer.hpp"
#include "runtime/session.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/small_store.hpp"
#include "tools/commands.hpp"
#include "tools/export/authors_form.hpp"
#include "tools/export/example_activations.hpp"
#include "tools/export/npy.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

using namespace ffmem;
using namespace ffmem::tools;
using nlohmann::json;

namespace {

const std::string kCorpus =
    "It rained all day. The river rose by two metres , and the bridge was closed.\n"
    "She wrote a letter to the king. He never answered it. The king died in 1432.\n"
    "The band released its second album in March 2004 .\nCritics praised Ra\xC5\xA1\x69n's guitar work\n";

void run_command(const std::vector<std::string>& arguments) {
  CLI::App app;
  add_triggers(app);
  add_values(app);
  add_export(app);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  app.parse(reversed);
}

/// A search of the trained model over a few sentences.
struct Searched {
  TemporaryFolder folder;
  std::string store = path("store");

  Searched() {
    folder.write("corpus", kCorpus);
    run_command({"triggers", FFMEM_DEMO_MODEL, path("corpus"), "-o", store, "--quiet", "--top", "3"});
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }

  /// The JSON values of the lines that an export writes.
  std::vector<json> lines(std::vector<std::string> options, const std::string& out) const {
    options.insert(options.begin(), {"export", store, "-o", path(out), "--quiet"});
    run_command(options);
    std::istringstream text(read_text_file(path(out)));
    std::vector<json> values;
    for (std::string line; std::getline(text, line);) values.push_back(json::parse(line));
    return values;
  }
};

const Searched& searched() {
  static const Searched s;
  return s;
}

/// Without the space that the trained model's tokenizer puts before the first word.
std::string text_of(const TriggerStore& store, std::span<const TokenId> tokens) {
  std::string text;
  for (const TokenId token : tokens) text += store.token_bytes(token);
  return text.starts_with(' ') ? text.substr(1) : text;
}

}  // namespace

TEST_CASE("npy: the header is what NumPy's own writer puts before these arrays") {
  const auto header = [](std::string_view type, const std::vector<std::size_t>& shape) { return npy_header(type, shape); };
  const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 1024, 50), }";
  const std::string preamble("\x93NUMPY\x01\x00\x76\x00", 10);
  CHECK(header("<f4", {12, 1024, 50}) == preamble + dictionary + std::string(50, ' ') + "\n");
  CHECK(header("<i8", {3}).find("'shape': (3,), }") != std::string::npos);
  CHECK(header("|u1", {}).find("'shape': (), }") != std::string::npos);
  for (std::size_t n = 0; n < 70; ++n) {
    const std::string h = header("<f4", std::vector<std::size_t>(n, 7));
    CHECK(h.size() % 64 == 0);
    CHECK(h.back() == '\n');
    CHECK(static_cast<unsigned char>(h[8]) + 256U * static_cast<unsigned char>(h[9]) == h.size() - 10);
  }
  CHECK(thrown([&] { header("<f4", std::vector<std::size_t>(30000, 1)); }).code() == ErrorCode::argument_invalid);
}

TEST_CASE("export npy: every tensor of a file comes back from its .npy, bf16 as f32") {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 4> ids{-1, 2, 3, std::int64_t{1} << 40};
  const std::array<std::uint16_t, 3> halves{0x3F80, 0xC040, 0x0001};  // 1, -3 and the smallest of bf16
  const std::array<std::uint8_t, 2> flags{1, 0};
  const std::string in = (folder.path() / "in").string();
  write_safetensors(in, {{"ids", DType::i64, {2, 2}, ids.data()},
                         {"halves", DType::bf16, {3}, halves.data()},
                         {"flags", DType::boolean, {2}, flags.data()},
                         {"none", DType::f32, {0, 5}, nullptr}});
  const auto out = folder.path() / "a" / "b";
  run_command({"export", in, "--format", "npy", "-o", out.string(), "--quiet"});
  const auto data = [&](const char* name, const std::string& header) {
    const std::string bytes = read_text_file(out / name);
    REQUIRE(bytes.starts_with(header));
    return bytes.substr(header.size());
  };
  CHECK(data("ids.npy", npy_header("<i8", {2, 2})) == std::string(reinterpret_cast<const char*>(ids.data()), 32));
  const std::string widened = data("halves.npy", npy_header("<f4", {3}));
  REQUIRE(widened.size() == 12);
  std::array<std::uint32_t, 3> bits{};
  std::memcpy(bits.data(), widened.data(), 12);
  CHECK(bits == std::array<std::uint32_t, 3>{0x3F800000, 0xC0400000, 0x00010000});
  CHECK(data("flags.npy", npy_header("|b1", {2})) == std::string("\x01\x00", 2));
  CHECK(data("none.npy", npy_header("<f4", {0, 5})).empty());
}

TEST_CASE("export npy: a tensor whose name leaves the folder is an error before anything is written") {
  const TemporaryFolder folder;
  const float value = 1.0F;
  const std::string in = (folder.path() / "in").string();
  write_safetensors(in, {{"a", DType::f32, {1}, &value}, {"x/../../y", DType::f32, {1}, &value}});
  const auto out = folder.path() / "out";
  const Error error = thrown([&] { run_command({"export", in, "--format", "npy", "-o", out.string()}); });
  CHECK(error.code() == ErrorCode::argument_invalid);
  CHECK(contains(error.what(), "x/../../y"));
  CHECK(!std::filesystem::exists(out));
}

TEST_CASE("words_begun: counts words that white space of any kind parts, the last perhaps in its middle") {
  CHECK(words_begun("") == 0);
  CHECK(words_begun("  ") == 0);
  CHECK(words_begun("The") == 1);
  CHECK(words_begun("The ri") == 2);
  CHECK(words_begun(" The  river ") == 2);
  CHECK(words_begun("a\tb\nc") == 3);
  CHECK(words_begun("a\xC2\xA0"
                    "b\xE3\x80\x80"
                    "c") == 3);                  // no-break and ideographic space
  CHECK(words_begun("a \xE3\x80") == 2);         // the first bytes of a character
  CHECK(words_begun("Ra\xC5\xA1in \xFF") == 2);  // no UTF-8
}

TEST_CASE("export authors: the records hold the store's examples, and their reader finds the last word read") {
  const TriggerStore store(searched().store);
  const auto lines = searched().lines({"--format", "authors"}, "authors.jsonl");
  REQUIRE(lines.size() == store.d_memory());
  for (std::size_t unit = 0; unit < 40; ++unit) {
    CHECK(lines[unit]["dim"] == unit);
    REQUIRE(lines[unit]["top_values"].size() == store.n_layers());
    for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
      const auto examples = store.examples(layer, unit);
      const json& records = lines[unit]["top_values"][layer];
      REQUIRE(records.size() == examples.size());
      for (std::size_t rank = 0; rank < examples.size(); ++rank) {
        CHECK(records[rank]["rank"] == rank);
        CHECK(records[rank]["layer_index"] == layer);
        CHECK(records[rank]["fc1_value"].get<float>() == examples[rank].coefficient);
        CHECK(records[rank]["text"] == text_of(store, examples[rank].tokens));
        // What key_value_agreement.py takes of the words up to token_indice: the one before the last printed.
        std::istringstream words(records[rank]["text"].get<std::string>());
        std::string read;
        for (int i = 0; i < records[rank]["token_indice"].get<int>(); ++i) words >> read;
        std::istringstream prefix(text_of(store, examples[rank].prefix));
        std::string last;
        while (prefix >> last) continue;
        CHECK(read.starts_with(last));
      }
    }
  }
}

TEST_CASE("export authors: a prefix in which no word has begun is read to the first one") {
  SmallStore small;
  small.tokens.front() = 0;  // the first sentence begins with what adds nothing
  small.write();
  run_command({"export", small.path("store"), "--format", "authors", "-o", small.path("authors"), "--quiet"});
  const std::string lines = read_text_file(small.path("authors"));
  const json record = json::parse(lines.substr(0, lines.find('\n')));
  CHECK(record["top_values"][0][0]["token_indice"] == 1);
}

TEST_CASE("export authors: layers, units and examples that are not asked for are left out, layers keep their places") {
  const TriggerStore store(searched().store);
  const auto lines = searched().lines({"--format", "authors", "--layers", "2:4", "--units", "5:7", "--top", "1"}, "part.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["dim"] == 6);
  for (std::size_t layer = 0; layer < store.n_layers(); ++layer) {
    const std::size_t expected = layer == 2 || layer == 3 ? store.examples(layer, 6, 1).size() : 0;
    CHECK(lines[1]["top_values"][layer].size() == expected);
  }
}

TEST_CASE("export openai: tokens and coefficients of whole sentences are what running each alone gives") {
  const TriggerStore store(searched().store);
  const auto model = Model::load(FFMEM_DEMO_MODEL);
  const auto lines = searched().lines({"--format", "openai", "--layers", "1:3", "--units", "10:14"}, "records.jsonl");
  REQUIRE(lines.size() == 8);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::size_t layer = 1 + i / 4;
    const std::size_t unit = 10 + i % 4;
    CHECK(lines[i]["dataclass_name"] == "NeuronRecord");
    CHECK(lines[i]["neuron_id"]["layer_index"] == layer);
    CHECK(lines[i]["neuron_id"]["neuron_index"] == unit);
    const auto examples = store.examples(layer, unit);
    const json& records = lines[i]["most_positive_activation_records"];
    REQUIRE(records.size() == examples.size());
    for (std::size_t e = 0; e < examples.size(); ++e) {
      std::vector<TokenId> tokens{*store.info().prefix_token};
      tokens.insert(tokens.end(), examples[e].tokens.begin(), examples[e].tokens.end());
      Record record({.points = {Point::coefficients}, .first_layer = layer, .end_layer = layer + 1});
      const std::array<Hook*, 1> hooks{&record};
      Session session(model, {.context = store.info().context, .keep_cache = false});
      session.run(tokens, LogitsRows::none, hooks);
      const auto rows = record.at(Point::coefficients, layer);
      std::vector<float> expected;
      for (std::size_t row = 1; row < rows.rows; ++row) expected.push_back(rows.row(row)[unit]);
      CHECK(records[e]["dataclass_name"] == "ActivationRecord");
      CHECK(records[e]["activations"].get<std::vector<float>>() == expected);
      CHECK(expected[examples[e].prefix.size() - 1] == examples[e].coefficient);
      CHECK(records[e]["tokens"].size() == expected.size());
      CHECK(records[e]["tokens"].back() == store.token_bytes(examples[e].tokens.back()));
    }
  }
}

TEST_CASE("export openai: a folder holds neurons/LAYER/UNIT.json with the lines of the one file") {
  const auto lines = searched().lines({"--format", "openai", "--layers", "3", "--units", "7:9"}, "both.jsonl");
  run_command({"export", searched().store, "--format", "openai", "--layers", "3", "--units", "7:9", "-o",
               searched().path("records"), "--quiet"});
  const auto layer = searched().folder.path() / "records" / "neurons" / "3";
  CHECK(json::parse(read_text_file(layer / "7.json")) == lines[0]);
  CHECK(json::parse(read_text_file(layer / "8.json")) == lines[1]);
  CHECK(!std::filesystem::exists(layer / "9.json"));
}

TEST_CASE("export neuronpedia: at most 128 features of one layer a line, with the values' tokens where they are given") {
  const TriggerStore store(searched().store);
  const std::string values = searched().path("values");
  run_command({"values", FFMEM_DEMO_MODEL, "-o", values, "--layers", "1:3", "--top", "2", "--quiet"});
  const auto lines = searched().lines({"--format", "neuronpedia", "--model-id", "demo", "--source-set", "ffmem", "--layers",
                                       "1:3", "--units", "100:250", "--values", values},
                                      "upload.jsonl");
  REQUIRE(lines.size() == 4);
  const std::array<std::size_t, 4> sizes{128, 22, 128, 22};
  const ValueTable table = read_value_table(values);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    CHECK(lines[i]["modelId"] == "demo");
    CHECK(lines[i]["source"] == (i < 2 ? "1-ffmem" : "2-ffmem"));
    CHECK(lines[i]["features"].size() == sizes[i]);
  }
  const json& feature = lines[3]["features"][1];
  CHECK(feature["index"] == 229);
  CHECK(feature["activations"].size() == store.examples(2, 229).size());
  CHECK(feature["topLogits"].size() == 2);
  const std::size_t first = (1 * table.d_memory + 229) * 2;
  CHECK(feature["topLogits"][0]["value"].get<float>() == doctest::Approx(std::log(table.probabilities[first])));
  CHECK(feature["topLogits"][0]["token"] == store.token_bytes(table.tokens[first]));
}

TEST_CASE("export neuronpedia: a token whose probability is 0 has no log-probability and is left out") {
  const std::string values = searched().path("values-with-zero");
  run_command({"values", FFMEM_DEMO_MODEL, "-o", values, "--layers", "0", "--top", "3", "--quiet"});
  ValueTable table = read_value_table(values);
  table.probabilities[2] = 0.0F;
  write_value_table(values, table);
  const auto lines = searched().lines({"--format", "neuronpedia", "--model-id", "demo", "--source-set", "ffmem", "--layers",
                                       "0", "--units", "0:2", "--values", values},
                                      "zero.jsonl");
  const json& features = lines[0]["features"];
  CHECK(features[0]["topLogits"].size() == 2);
  CHECK(features[1]["topLogits"].size() == 3);
  for (const json& logit : features[0]["topLogits"]) CHECK(logit["value"].is_number());
}

TEST_CASE("export: examples of the most negative coefficients have no place in the forms that call them most positive") {
  SmallStore small;
  small.negate();
  small.write();
  const std::vector<std::vector<std::string>> formats{{"openai"}, {"neuronpedia", "--model-id", "m", "--source-set", "s"}};
  for (const auto& format : formats) {
    std::vector<std::string> arguments{"export", small.path("store"), "-o", small.path("out.jsonl"), "--format"};
    arguments.insert(arguments.end(), format.begin(), format.end());
    const Error error = thrown([&] { run_command(arguments); });
    CHECK(contains(error.what(), small.path("store") + ": --format " + format.front()));
    CHECK(contains(error.what(), "most negative"));
  }
  CHECK_FALSE(std::filesystem::exists(small.path("out.jsonl")));
}

TEST_CASE("export: a model of other sizes than the store's is told with all of them") {
  const SmallStore small;
  small.write();
  const TriggerStore store(small.path("store"));
  const auto model = Model::load(std::string(FFMEM_TEST_DATA) + "/hf/gpt2-relu");
  const auto nothing = [](const auto&) {};
  const Error error = thrown([&] { for_each_key_activations(model, store, {}, nothing, nothing); });
  CHECK(contains(error.what(), "1 layers of 2 memories, 5 tokens and a context of at least 16"));
  CHECK(contains(error.what(), "found 3 of 44, 64 tokens and a context of 32"));
}

TEST_CASE("export: a model that is another, missing names and ranges that leave the model are errors") {
  const auto error = [](const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"export", searched().store, "-o", searched().path("bad.jsonl"), "--quiet"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::string text;
    try {
      run_command(arguments);
    } catch (const std::exception& thrown_error) {
      text = thrown_error.what();
    }
    CHECK(!std::filesystem::exists(searched().path("bad.jsonl")));
    return text;
  };
  const std::string other = std::string(FFMEM_TEST_DATA) + "/hf/gpt2-relu";
  CHECK(contains(error({"--format", "openai", "--model", other}), "is not the model of"));
  CHECK(contains(error({"--format", "neuronpedia"}), "--model-id"));
  const std::string values = searched().path("bf16-values");
  run_command({"values", FFMEM_DEMO_MODEL, "-o", values, "--layers", "0", "--top", "2", "--quiet", "--weights", "bf16"});
  CHECK(contains(error({"--format", "neuronpedia", "--model-id", "demo", "--source-set", "ffmem", "--values", values}),
                 "with bf16 weights"));
  const std::string first = searched().path("first-values");
  run_command({"values", FFMEM_DEMO_MODEL, "-o", first, "--layers", "0", "--top", "2", "--quiet"});
  CHECK(contains(
      error({"--format", "neuronpedia", "--model-id", "demo", "--source-set", "ffmem", "--layers", "1", "--values", first}),
      "expected layers"));
  CHECK(contains(error({"--format", "authors", "--layers", "12"}), "layers 0 to 11"));
  CHECK(contains(error({"--format", "authors", "--units", "5:4"}), "units 0 to"));
  CHECK(contains(error({"--format", "pickle"}), "pickle"));
}
