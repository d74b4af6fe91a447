// What the subcommands that run a model do when all is well.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "loaders/mapped_file.hpp"
#include "loaders/safetensors.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;
using Json = nlohmann::json;

TEST_CASE("ffmem: help and version are exit code 0, and every subcommand explains itself with examples") {
  const std::string help = output({"--help"});
  CHECK(output({"--version"}).starts_with("ffmem "));
  for (const std::string command : {"info", "tokenize", "generate", "perplexity", "capture", "trace"}) {
    CHECK(contains(help, command));
    CHECK(contains(output({command, "--help"}), "Example"));
  }
}

TEST_CASE("ffmem info: the sizes of a checkpoint, for people and for programs") {
  const std::string text = output({"info", kTiny});
  CHECK(contains(text, "gpt2"));
  CHECK(contains(text, "44 a layer, 132 in all"));
  const Json facts = json_output({"info", kTiny, "--json", "--threads", "1"});
  CHECK(facts["layers"] == 3);
  CHECK(facts["width"] == 24);
  CHECK(facts["memories"] == 132);
  CHECK(facts["activation"] == "relu");
  CHECK(facts["gated"] == false);
  CHECK(facts["context"] == 32);
  CHECK(facts["vocabulary"] == 64);
  CHECK(facts["eos"] == Json::array({2}));
  CHECK(facts["tokenizer"].is_null());
  CHECK(facts["threads"] == 1);
  CHECK(facts["file_bytes"] == std::filesystem::file_size(kTinyModel / "model.safetensors"));
  CHECK(json_output({"info", kDemo, "--json"})["tokenizer"]["tokens"] == 8192);
}

TEST_CASE("ffmem --help: dots stand only behind what takes several at a time") {
  CHECK(contains(output({"values", "--help"}), "--unit LAYER:UNIT "));
  CHECK_FALSE(contains(output({"values", "--help"}), "..."));
  CHECK(contains(output({"triggers", "--help"}), "CORPUS"));
  CHECK(contains(output({"triggers", "--help"}), "..."));
}

TEST_CASE("ffmem tokenize: ids and back, from an argument, a file and standard input") {
  const std::string ids = output({"tokenize", kDemo, "The game was released", "--ids"});
  CHECK(output({"tokenize", kDemo, "-", "--ids"}, {.input = "The game was released"}) == ids);
  const TemporaryFolder folder;
  CHECK(output({"tokenize", kDemo, "--file", folder.write("text", "The game was released"), "--ids"}) == ids);
  CHECK(contains(output({"tokenize", kDemo, "--decode", ids}), "The game was released"));
  CHECK(output({"tokenize", kDemo, "--decode", "-"}, {.input = ids}) == output({"tokenize", kDemo, "--decode", ids}));
  const Json json = json_output({"tokenize", kDemo, "The game", "--json"});
  const Json back = json_output({"tokenize", kDemo, "--decode", joined(json["tokens"].get<std::vector<int>>()), "--json"});
  CHECK(back["tokens"] == json["tokens"]);
  CHECK(contains(back["text"].get<std::string>(), "The game"));
  CHECK(json["spellings"].size() == json["tokens"].size());
  CHECK(json["spellings"].back() == "\u0120game");
  CHECK(contains(output({"tokenize", kDemo, "The game"}), "\t\u0120game\n"));
}

TEST_CASE("ffmem tokenize: a folder with nothing but a tokenizer, an empty text, and bytes that are not UTF-8") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", read_text_file(std::filesystem::path(kDemo) / "tokenizer.json"));
  CHECK(output({"tokenize", folder.path(), "", "--ids"}) == "\n");
  CHECK(output({"tokenize", folder.path(), "a\xFFz", "--ids"}) == output({"tokenize", folder.path(), "a\uFFFDz", "--ids"}));
}

TEST_CASE("ffmem tokenize: a text of many pieces comes out whole") {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "word ";
  const std::string ids = output({"tokenize", kDemo, "-", "--ids"}, {.input = text});
  CHECK(std::count(ids.begin(), ids.end(), ' ') >= 39999);
  CHECK(ids.find("  ") == std::string::npos);
}

TEST_CASE("ffmem generate: greedy continuation of ids is the reference's") {
  const Json reference = oracle()["generation"];
  const std::vector<int> prompt = reference["prompt"];
  const Json result = json_output({"generate", kTiny, "--tokens", joined(prompt), "--max-new", "8", "--ignore-eos", "--json"});
  CHECK(result["tokens"] == reference["ids"]);
  CHECK(result["text"].is_null());
}

TEST_CASE("ffmem generate: the same seed gives the same text, another seed another") {
  const auto text = [](const std::string& seed) {
    return output({"generate", kDemo, "--prompt", "The game", "--temperature", "1", "--top-k", "50", "--top-p", "0.95",
                   "--seed", seed, "--max-new", "12"});
  };
  CHECK(text("7") == text("7"));
  CHECK(text("7") != text("8"));
}

TEST_CASE("ffmem generate: a stop string ends the text and is not printed, nor is its beginning") {
  const std::string whole = output({"generate", kDemo, "--prompt", "The game was", "--max-new", "12", "--ignore-eos"});
  const std::size_t at = whole.find(' ', 6);
  REQUIRE(at != std::string::npos);
  const std::string stop = whole.substr(at, 4);
  const std::string stopped = output(
      {"generate", kDemo, "--prompt", "The game was", "--max-new", "12", "--ignore-eos", "--stop", "nowhere", "--stop", stop});
  CHECK(stopped == whole.substr(0, whole.find(stop)).append("\n"));
}

TEST_CASE("ffmem generate: behind byte tokens, and tokens that the tokenizer lacks, text and stop strings are right") {
  const ModelFolder model;
  const auto generate = [&](const std::vector<std::string>& further) {
    std::vector<std::string> arguments{"generate", model.path(), "--tokens", "5 6 7", "--ignore-eos", "--json"};
    arguments.insert(arguments.end(), further.begin(), further.end());
    return json_output(arguments);
  };
  const auto ids = generate({"--max-new", "4"})["tokens"].get<std::vector<int>>();
  // The prompt's last token and the second new one are line ends, the fourth has no token, all others are their number.
  REQUIRE(std::set<int>{7, ids[0], ids[1], ids[2], ids[3]}.size() == 5);
  Json vocabulary;
  for (int id = 0; id < 64; ++id) {
    if (id != ids[3]) vocabulary[id == 7 ? "<0x0A>" : id == ids[1] ? "<0x0a>" : "w" + std::to_string(id)] = id;
  }
  const Json steps = {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  const Json tokenizer = {{"decoder", {{"type", "Sequence"}, {"decoders", steps}}},
                          {"model", {{"type", "WordLevel"}, {"unk_token", "w0"}, {"vocab", vocabulary}}}};
  model.write("tokenizer.json", tokenizer.dump());

  const std::string first = "w" + std::to_string(ids[0]);
  const Json whole = generate({"--max-new", "4"});
  CHECK(whole["text"] == first + "\nw" + std::to_string(ids[2]));
  CHECK(whole["end"] == "length");
  for (const char* n : {"2", "4"}) {
    const Json stopped = generate({"--max-new", n, "--stop", "\n"});
    CHECK(stopped["text"] == first);
    CHECK(stopped["tokens"] == std::vector<int>{ids[0], ids[1]});
    CHECK(stopped["end"] == "stop");
  }
}

TEST_CASE("ffmem generate: an empty prompt starts from beginning-of-text") {
  const Json empty = json_output({"generate", kDemo, "--prompt", "", "--max-new", "3", "--json"});
  const Json bos = json_output({"generate", kDemo, "--tokens", "0", "--max-new", "3", "--json"});
  CHECK(empty["tokens"] == bos["tokens"]);
  CHECK(json_output({"generate", kDemo, "--prompt=", "--max-new", "3", "--json"}) == empty);
}

TEST_CASE("ffmem generate: the context bounds the new tokens, and a note says so") {
  const CommandResult result = ffmem_command({"generate", kTiny, "--tokens", "5 6 7", "--ignore-eos", "--json"});
  CHECK(result.exit_code == 0);
  CHECK(Json::parse(result.out)["tokens"].size() == 30);
  CHECK(contains(result.err, "leaves room for 30"));
}

TEST_CASE("ffmem perplexity: windows, strides and the JSON agree with a sum over captured log-probabilities") {
  const TemporaryFolder folder;
  const std::string file = folder.write("text", "The game was released in North America in the same year .");
  const Json ids = json_output({"tokenize", kDemo, "--file", file, "--json"})["tokens"];
  const std::size_t n = ids.size();
  const std::string list = joined(ids.get<std::vector<int>>());
  output({"capture", kDemo, "--tokens", list, "--points", "logits", "-o", folder.path() / "logits"});
  const SafetensorsFile captured(folder.path() / "logits");
  const auto logits = captured.at("logits").values<float>();
  double nats = 0.0;
  for (std::size_t t = 0; t + 1 < n; ++t) {
    const auto row = logits.subspan(t * 8192, 8192);
    double sum = 0.0;
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    nats += std::log(sum) - static_cast<double>(row[ids[t + 1].get<std::size_t>()]);
  }
  const Json whole = json_output({"perplexity", kDemo, file, "--json"});
  CHECK(whole == json_output({"perplexity", kDemo, folder.write("marked", "\xEF\xBB\xBF" + read_text_file(file)), "--json"}));
  CHECK(whole["tokens_scored"] == n - 1);
  CHECK(whole["nats_per_token"].get<double>() == doctest::Approx(nats / static_cast<double>(n - 1)).epsilon(1e-5));
  CHECK(whole["perplexity"].get<double>() == doctest::Approx(std::exp(whole["nats_per_token"].get<double>())));

  // Windows of 4 side by side leave the first token of each out; overlapping ones only the very first.
  CHECK(json_output({"perplexity", kDemo, file, "--json", "--window", "4", "--stride", "4"})["tokens_scored"] ==
        n - (n + 3) / 4);
  CHECK(json_output({"perplexity", kDemo, file, "--json", "--window", "4", "--stride", "1"})["tokens_scored"] == n - 1);
  CHECK(json_output({"perplexity", kDemo, file, "--json", "--max-tokens", "5"})["tokens_scored"] == 4);
  CHECK(contains(output({"perplexity", kDemo, file}), "perplexity "));
}

TEST_CASE("ffmem perplexity: --lines puts beginning-of-text before each line that is not blank") {
  const TemporaryFolder folder;
  const std::string lines = folder.write("lines", "\u3000The game \n\n \t\u00A0\nwas released\x1F\n");
  const Json a = json_output({"tokenize", kDemo, "The game", "--json"})["tokens"];
  const Json b = json_output({"tokenize", kDemo, "was released", "--json"})["tokens"];
  const Json result = json_output({"perplexity", kDemo, lines, "--lines", "--json"});
  CHECK(result["tokens"] == a.size() + b.size() + 2);
  // Every token but the first is scored, whatever the windows.
  CHECK(result["tokens_scored"] == a.size() + b.size() + 1);
  for (const std::string window : {"2", "3"}) {
    CHECK(json_output({"perplexity", kDemo, lines, "--lines", "--json", "--window", window})["tokens_scored"] ==
          a.size() + b.size() + 1);
  }
}

TEST_CASE("ffmem: one of several processes that do not see each other searches a shard, not all") {
  const TemporaryFolder folder;
  const std::string text = folder.write("text", "The game was released.\nIt rained.\n");
  std::vector<std::string> search{"triggers", kDemo, text, "-o", folder.path() / "store", "--quiet"};
  ::setenv("PMI_SIZE", "2", 1);  // as a launcher sets it that this program's MPI, if it has one, does not know
  const CommandResult whole = ffmem_command(search);
  search.insert(search.end(), {"--shard", "0/2"});
  const CommandResult shard = ffmem_command(search);
  ::unsetenv("PMI_SIZE");
  CHECK(whole.exit_code == 1);
  CHECK_MESSAGE(contains(whole.err, "one of 2 ranks (PMI_SIZE) that do not see each other"), whole.err);
  CHECK(shard.exit_code == 0);
}
