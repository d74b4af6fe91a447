// What values promote, as a user asks for it: ffmem values, and show's part of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "loaders/safetensors.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;
using Json = nlohmann::json;

TEST_CASE("ffmem values: --token lists the memories that promote it most, as the file has them") {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "values";
  const std::string text =
      output({"values", kDemo, "-o", file, "--layers", "2:4", "--token", " the", "--token", " in", "--quiet"});
  const SafetensorsFile values(file);
  const auto p = values.at("asked_probabilities").values<float>();
  for (std::size_t a = 0; a < 2; ++a) {
    std::size_t best = 0;
    for (std::size_t value = 1; value < p.size() / 2; ++value) {
      if (p[value * 2 + a] > p[best * 2 + a]) best = value;
    }
    const std::string header = "layer   unit  probability    rank\n";
    std::size_t at = text.find(header);
    if (a == 1) at = text.find(header, at + 1);
    REQUIRE(at != std::string::npos);
    std::istringstream row(text.substr(at + header.size()));
    std::size_t layer = 0;
    std::size_t unit = 0;
    row >> layer >> unit;
    CHECK(layer == 2 + best / 1024);
    CHECK(unit == best % 1024);
  }
}

TEST_CASE("ffmem values: --token is a word of the vocabulary as it is written there, and stands in the JSON") {
  const TemporaryFolder folder;
  // Alone, the tokenizer puts a space before either.
  for (const auto& [text, id] : {std::pair<std::string, int>{"unk", 285}, {" unk", 4756}}) {
    const Json found = json_output({"values", kDemo, "-o", folder.path() / "v", "--layers", "2", "--token", text, "--json"});
    REQUIRE(found["asked"].size() == 1);
    CHECK(found["asked"][0]["id"] == id);
    CHECK(found["asked"][0]["text"] == text);
    const Json& memories = found["asked"][0]["memories"];
    REQUIRE(memories.size() == 10);
    CHECK(memories[0]["layer"] == 2);
    CHECK(memories[0]["probability"] >= memories[9]["probability"]);
  }
}

TEST_CASE("ffmem values: --token finds its word in a vocabulary with ids that have no token") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  std::string tokenizer = read_text_file(model.path() + "/tokenizer.json");
  const std::string removed = "\"w5\": 5, ";
  tokenizer.erase(tokenizer.find(removed), removed.size());
  model.write("tokenizer.json", tokenizer);
  const Json found = json_output({"values", model.path(), "-o", folder.path() / "v", "--token", "w7", "--json"});
  CHECK(found["asked"][0]["id"] == 7);
}

TEST_CASE("ffmem values: --unit shows single values as the table of all has them, without writing one") {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "values";
  output({"values", kDemo, "-o", file, "--layers", "2:4", "--top", "3", "--quiet"});
  const SafetensorsFile table(file);
  const auto tokens = table.at("tokens").values<TokenId>();
  const auto probabilities = table.at("probabilities").values<float>();
  const Json found = json_output({"values", kDemo, "--unit", "3:17", "--unit", "2:1023", "--top", "3", "--json"});
  REQUIRE(found["memories"].size() == 2);
  const std::size_t rows[]{1024 + 17, 1023};
  for (std::size_t m = 0; m < 2; ++m) {
    const Json& memory = found["memories"][m];
    CHECK(memory["layer"] == 3 - m);
    REQUIRE(memory["promotes"].size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(memory["promotes"][i]["id"] == tokens[rows[m] * 3 + i]);
      CHECK(memory["promotes"][i]["probability"].get<float>() == doctest::Approx(probabilities[rows[m] * 3 + i]));
    }
  }
  const std::string text = output({"values", kDemo, "--unit", "3:17", "--lens", "final-norm", "--top", "1"});
  CHECK(contains(text, "layer 3, unit 17 (lens final-norm): probability, token\n"));
  CHECK(contains(text, "\nnegated, as a negative coefficient adds it\n"));
  CHECK(std::ranges::count(text, '\n') == 4);
}

TEST_CASE("ffmem values: a negated value's tokens are those that trace shows where the coefficient is negative") {
  const Json value = json_output({"values", kTiny, "--unit", "1:7", "--top", "64", "--json"})["memories"][0];
  const Json traced = json_output({"trace", kTiny, "--tokens", "9", "--json", "--lens", "raw", "--memories", "1",
                                   "--tokens-shown", "64", "--zero", "coefficients:1", "--set", "coefficients:1:7=-3"});
  const Json& tokens = traced["layers"][1]["memories"][0]["promotes"];
  REQUIRE(value["negated_promotes"].size() == tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    CHECK(value["negated_promotes"][i]["id"] == tokens[i]["id"]);
    CHECK(value["negated_promotes"][i]["probability"].get<float>() == tokens[i]["probability"].get<float>());
  }
  CHECK(value["promotes"].front()["id"] == value["negated_promotes"].back()["id"]);
}

TEST_CASE("ffmem values: --negated makes the table of the negated values") {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "negated";
  CHECK(json_output({"values", kTiny, "-o", file, "--negated", "--top", "4", "--json", "--quiet"})["negated"] == true);
  const SafetensorsFile table(file);
  CHECK(table.metadata().at("negated") == "true");
  const Json value = json_output({"values", kTiny, "--unit", "1:7", "--top", "4", "--json"})["memories"][0];
  const auto tokens = table.at("tokens").values<std::int32_t>();
  for (std::size_t i = 0; i < 4; ++i) CHECK(value["negated_promotes"][i]["id"] == tokens[(44 + 7) * 4 + i]);
}

TEST_CASE("ffmem show: what a search for negative coefficients found goes with the negated value") {
  const TemporaryFolder folder;
  const ModelFolder model(FFMEM_TEST_DATA "/hf/llama");
  model.add_tokenizer(64);
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\nw8 w9\n");
  const std::string store = folder.path() / "store";
  const Json value = json_output({"values", model.path(), "--unit", "1:7", "--json"})["memories"][0];
  CHECK(value["negated_promotes"] != value["promotes"]);
  for (const bool smallest : {false, true}) {
    std::vector<std::string> search{"triggers", model.path(), text, "-o", store, "--quiet"};
    if (smallest) search.emplace_back("--smallest");
    output(search);
    const Json shown = json_output({"show", store, "1", "7", "--json"})["value"];
    CHECK(shown["negated"] == smallest);
    CHECK(shown["promotes"] == value[smallest ? "negated_promotes" : "promotes"]);
    CHECK(contains(output({"show", store, "1", "7"}), smallest ? "value negated" : "value (lens raw)"));
  }
}

TEST_CASE("ffmem show: says of what search a store is, and takes no other model's values") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\nw8 w9\n");
  const std::string store = folder.path() / "store";
  output({"triggers", model.path(), text, "-o", store, "--quiet", "--weights", "int4", "--shard", "0/2"});
  CHECK(contains(output({"show", store, "1", "7"}), "layer 1, unit 7 (int4 weights) (shards 0/2 of the corpus): "));
  const Json shown = json_output({"show", store, "1", "7", "--json"});
  CHECK(shown["weights"] == "int4");
  CHECK(shown["model"] == model.path());
  CHECK(shown["corpus"] == Json::array({"corpus.txt"}));
  CHECK(shown["shards"] == "0/2");
  check_complaint({"show", store, "1", "7", "--model", kDemo}, 1, {kDemo, "is not the model of", store});
  model.edit_config("\"vocab_size\"", "\"no_size\"");  // the folder that the store names
  const CommandResult without = ffmem_command({"show", store, "1", "7", "--json"});
  CHECK(without.exit_code == 0);
  CHECK(Json::parse(without.out)["value"].is_null());
  CHECK(contains(without.err, "the value's tokens are left out"));
}

TEST_CASE("ffmem triggers: a search for coefficients below 0 is refused where the model has none") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "The game\n");
  check_complaint({"triggers", kDemo, text, "-o", folder.path() / "store", "--smallest"}, 1, {"--smallest", "below 0", "relu"});
  CHECK_FALSE(std::filesystem::exists(folder.path() / "store"));
}
