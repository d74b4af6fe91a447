// What each subcommand does when all is well, run as a user runs it.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command.hpp"
#include "tests/tools/tiny_model.hpp"

using namespace ffmem;
using Json = nlohmann::json;

namespace {

const std::string kDemo = FFMEM_DEMO_MODEL;
const std::string kTiny = kTinyModel.string();

/// Standard output of a command that must succeed.
std::string output(const std::vector<std::string>& arguments, const CommandSetting& setting = {}) {
  const CommandResult result = ffmem_command(arguments, setting);
  CHECK_MESSAGE(result.exit_code == 0, result.err);
  return result.out;
}

Json json_output(const std::vector<std::string>& arguments) { return Json::parse(output(arguments)); }

Json oracle() { return Json::parse(read_text_file(kTinyModel / "oracle.json")); }

std::string joined(const std::vector<int>& ids) {
  std::string text;
  for (const int id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

/// Largest difference of a captured tensor from a reference one.
double worst_difference(const SafetensorsFile& captured, const std::string& name, const SafetensorsFile& reference,
                        const std::string& reference_name) {
  const auto a = captured.at(name).values<float>();
  const auto b = reference.at(reference_name).values<float>();
  REQUIRE(captured.at(name).shape == reference.at(reference_name).shape);
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

}  // namespace

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

TEST_CASE("ffmem tokenize: ids and back, from an argument, a file and standard input") {
  const std::string ids = output({"tokenize", kDemo, "The game was released", "--ids"});
  CHECK(output({"tokenize", kDemo, "-", "--ids"}, {.input = "The game was released"}) == ids);
  const TemporaryFolder folder;
  CHECK(output({"tokenize", kDemo, "--file", folder.write("text", "The game was released"), "--ids"}) == ids);
  CHECK(contains(output({"tokenize", kDemo, "--decode", ids}), "The game was released"));
  CHECK(output({"tokenize", kDemo, "--decode", "-"}, {.input = ids}) == output({"tokenize", kDemo, "--decode", ids}));
  const Json json = json_output({"tokenize", kDemo, "The game", "--json"});
  CHECK(json["ids"].size() == json["tokens"].size());
  CHECK(json["tokens"].back() == "\u0120game");
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

TEST_CASE("ffmem generate: interventions act on cached and new positions alike") {
  const auto tokens = [](std::vector<std::string> edits) {
    std::vector<std::string> arguments{"generate", kTiny, "--tokens", "47,53,0,3", "--max-new", "8", "--ignore-eos", "--json"};
    arguments.insert(arguments.end(), edits.begin(), edits.end());
    return json_output(arguments)["tokens"];
  };
  CHECK(tokens({"--set", "logits:17=1000"}) == Json::array({17, 17, 17, 17, 17, 17, 17, 17}));
  // The logits behind position 5 choose the third new token.
  Json expected = tokens({});
  const Json changed = tokens({"--set", "logits:17=1000@5"});
  CHECK(changed[0] == expected[0]);
  CHECK(changed[1] == expected[1]);
  CHECK(changed[2] == 17);
}

TEST_CASE("ffmem perplexity: windows, strides and the JSON agree with a sum over captured log-probabilities") {
  const TemporaryFolder folder;
  const std::string file = folder.write("text", "The game was released in North America in the same year .");
  const Json ids = json_output({"tokenize", kDemo, "--file", file, "--json"})["ids"];
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
  const std::string lines = folder.write("lines", " The game \n\n \t\nwas released\n");
  const Json a = json_output({"tokenize", kDemo, "The game", "--json"})["ids"];
  const Json b = json_output({"tokenize", kDemo, "was released", "--json"})["ids"];
  const Json result = json_output({"perplexity", kDemo, lines, "--lines", "--json"});
  CHECK(result["tokens"] == a.size() + b.size() + 2);
  // Every token but the first is scored, whatever the windows.
  CHECK(result["tokens_scored"] == a.size() + b.size() + 1);
  for (const std::string window : {"2", "3"}) {
    CHECK(json_output({"perplexity", kDemo, lines, "--lines", "--json", "--window", window})["tokens_scored"] ==
          a.size() + b.size() + 1);
  }
}

TEST_CASE("ffmem capture: every point, against the reference's tensors") {
  const TemporaryFolder folder;
  const std::vector<int> ids = oracle()["sequences"][2];
  const std::string file = folder.path() / "all";
  CHECK(output({"capture", kTiny, "--tokens", joined(ids), "--points", "all", "-o", file}).empty());
  const SafetensorsFile captured(file);
  const SafetensorsFile reference(kTinyModel / "oracle.safetensors");
  CHECK(captured.tensors().size() == 3 * 8 + 2 + 1);
  CHECK(worst_difference(captured, "coefficients.1", reference, "seq2.layer1.coef") < 2e-4);
  CHECK(worst_difference(captured, "residual_mid.2", reference, "seq2.layer2.resid_mid") < 2e-4);
  CHECK(worst_difference(captured, "residual_post.2", reference, "seq2.layer2.layer_out") < 2e-4);
  CHECK(worst_difference(captured, "final_hidden", reference, "seq2.head_in") < 2e-4);
  CHECK(worst_difference(captured, "logits", reference, "seq2.logits") < 2e-4);
  const auto tokens = captured.at("tokens").values<std::int64_t>();
  CHECK(std::vector<int>(tokens.begin(), tokens.end()) == ids);
}

TEST_CASE("ffmem capture: chosen points and layers, ids from a file") {
  const TemporaryFolder folder;
  const std::string ids = folder.write("ids", "5 6\n7\n");
  const std::string file = folder.path() / "some";
  const auto names = [&](const std::string& layers) {
    output({"capture", kTiny, "--tokens-file", ids, "--points", "ffn_in,ffn_out", "--points", "final_hidden", "--layers",
            layers, "-o", file});
    const SafetensorsFile captured(file);
    std::vector<std::string> result;
    for (const auto& [name, tensor] : captured.tensors()) result.push_back(name);
    return result;
  };
  using Names = std::vector<std::string>;
  CHECK(names("1") == Names{"ffn_in.1", "ffn_out.1", "final_hidden", "tokens"});
  CHECK(names("1:") == Names{"ffn_in.1", "ffn_in.2", "ffn_out.1", "ffn_out.2", "final_hidden", "tokens"});
  CHECK(names(":1") == Names{"ffn_in.0", "ffn_out.0", "final_hidden", "tokens"});
}

TEST_CASE("ffmem capture: interventions move the logits as in the reference") {
  const TemporaryFolder folder;
  const Json reference_json = oracle();
  const SafetensorsFile reference(kTinyModel / "oracle.safetensors");
  const std::vector<int> ids = reference_json["sequences"][2];
  for (const Json& edit : reference_json["interventions"]) {
    const std::string layer = std::to_string(edit["layer"].get<int>());
    const std::string kind = edit["kind"];
    std::vector<std::string> arguments{"capture",  kTiny,    "--tokens", joined(ids),
                                       "--points", "logits", "-o",       folder.path() / "x"};
    if (kind == "zero_ffn_output") {
      arguments.insert(arguments.end(), {"--zero", "ffn_out:" + layer});
    } else {
      const std::string unit = "coefficients:" + layer + ":" + std::to_string(edit["unit"].get<int>());
      const bool zero = kind == "zero_coefficient";
      arguments.insert(arguments.end(), {zero ? "--zero" : "--scale", zero ? unit : unit + "=10@6"});
    }
    output(arguments);
    CHECK(worst_difference(SafetensorsFile(folder.path() / "x"), "logits", reference,
                           edit["name"].get<std::string>() + ".logits") < 2e-4);
  }
}

TEST_CASE("ffmem capture: interventions of different kinds apply in the order given") {
  const TemporaryFolder folder;
  const auto unit = [&](std::vector<std::string> edits) {
    std::vector<std::string> arguments{"capture", kTiny, "--tokens", "5", "--points", "ffn_out", "-o", folder.path() / "x"};
    arguments.insert(arguments.end(), edits.begin(), edits.end());
    output(arguments);
    return SafetensorsFile(folder.path() / "x").at("ffn_out.1").values<float>()[3];
  };
  CHECK(unit({"--set", "ffn_out:1:3=2", "--scale", "ffn_out:1:3=5"}) == 10.0F);
  CHECK(unit({"--scale", "ffn_out:1:3=5", "--set", "ffn_out:1:3=2"}) == 2.0F);
  CHECK(unit({"--set", "ffn_out:1:3=2", "--zero", "ffn_out:1", "--set", "ffn_out:1:3=-1.5"}) == -1.5F);
}

TEST_CASE("ffmem capture: a patch brings another run's rows, an added vector shifts a row") {
  const TemporaryFolder folder;
  const std::string source = folder.path() / "source";
  const std::string result = folder.path() / "result";
  output({"capture", kTiny, "--tokens", "9,10,11", "--points", "residual_post,logits", "-o", source});
  // Patching the last layer's stream makes the logits those of the source, at the positions it has.
  output({"capture", kTiny, "--tokens", "20,21,22,23", "--points", "logits", "-o", result, "--patch",
          "residual_post:2=" + source});
  const SafetensorsFile captured(source);
  const SafetensorsFile patched(result);
  const auto expected = captured.at("logits").values<float>();
  const auto found = patched.at("logits").values<float>();
  CHECK(std::equal(expected.begin(), expected.end(), found.begin()));

  std::vector<float> vector(24, 0.0F);
  vector[5] = 2.0F;
  const std::string added = folder.path() / "vector";
  write_safetensors(added, {{"v", DType::f32, {24}, vector.data()}});
  output({"capture", kTiny, "--tokens", "20,21", "--points", "ffn_in", "-o", result, "--zero", "ffn_in:0", "--add",
          "ffn_in:0=" + added + ":v*-1.5@1"});
  const SafetensorsFile shifted(result);
  CHECK(shifted.at("ffn_in.0").values<float>()[5] == 0.0F);
  CHECK(shifted.at("ffn_in.0").values<float>()[24 + 5] == -3.0F);
}

TEST_CASE("ffmem generate: a patch of the prompt's positions leaves the new ones alone") {
  const TemporaryFolder folder;
  const std::string source = folder.path() / "source";
  output({"capture", kTiny, "--tokens", "47,53,0,3", "--points", "residual_post", "-o", source});
  const auto tokens = [&](const std::string& prompt, const std::vector<std::string>& edits) {
    std::vector<std::string> arguments{"generate", kTiny, "--tokens", prompt, "--max-new", "4", "--ignore-eos", "--json"};
    arguments.insert(arguments.end(), edits.begin(), edits.end());
    return json_output(arguments)["tokens"];
  };
  // All layers' streams at all positions are the source's, so the first new token is; the cache is what it would have been.
  CHECK(tokens("7,8,9,10", {"--patch", "residual_post:0=" + source, "--patch", "residual_post:1=" + source, "--patch",
                            "residual_post:2=" + source})[0] == tokens("47,53,0,3", {})[0]);
}

TEST_CASE("ffmem trace: layer by layer within 120 columns, and the same as JSON") {
  const std::string text = output({"trace", kDemo, "The game was released in"});
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const auto columns =
        std::count_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.begin() + static_cast<std::ptrdiff_t>(end),
                      [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    CHECK(columns <= 120);
    at = end + 1;
  }
  CHECK(contains(text, "final-norm"));
  const Json json =
      json_output({"trace", kDemo, "The game was released in", "--json", "--memories", "4", "--tokens-shown", "2"});
  CHECK(json["layers"].size() == 12);
  CHECK(json["prediction"][0]["text"] == " the");
  CHECK(json["layers"][0]["memories"].size() == 4);
  CHECK(json["layers"][0]["memories"][0]["tokens"].size() == 2);
  // With the final norm as lens, the last layer's output is the model's own prediction.
  CHECK(json["layers"][11]["residual_post"]["token"] == json["prediction"][0]["token"]);
}

TEST_CASE("ffmem trace: a position, the raw lens, ids without a tokenizer, and interventions") {
  const Json whole = json_output({"trace", kTiny, "--tokens", "9,10,11", "--json", "--position", "1"});
  CHECK(whole == json_output({"trace", kTiny, "--tokens", "9,10", "--json"}));
  CHECK(contains(output({"trace", kTiny, "--tokens", "9,10", "--lens", "raw"}), "raw"));
  CHECK(contains(output({"trace", kTiny, "--tokens", "9,10"}), "#"));
  const Json zeroed = json_output({"trace", kTiny, "--tokens", "9,10", "--json", "--zero", "coefficients:1"});
  CHECK(zeroed["layers"][1]["memories"].empty());
  CHECK(json_output({"trace", kTiny, "--tokens", "9", "--json", "--set", "logits:17=1000"})["prediction"][0]["token"] == 17);
}

TEST_CASE("ffmem trace: a memory with a negative coefficient shows what its negated value promotes") {
  const auto first = [](const std::string& factor) {
    const Json layer =
        json_output({"trace", kTiny, "--tokens", "9", "--json", "--lens", "raw", "--memories", "1", "--tokens-shown", "64",
                     "--zero", "coefficients:1", "--set", "coefficients:1:7=" + factor})["layers"][1];
    return layer["memories"][0];
  };
  const Json positive = first("3");
  const Json negative = first("-3");
  CHECK(positive["unit"] == 7);
  CHECK(negative["coefficient"] == -3.0);
  CHECK(positive["strength"] == negative["strength"]);
  CHECK(positive["tokens"].front()["token"] == negative["tokens"].back()["token"]);
}
