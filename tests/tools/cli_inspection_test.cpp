// Looking inside and changing a run, as a user does: capture, trace and the interventions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;
using Json = nlohmann::json;

namespace {

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
  CHECK(captured.metadata().at("model") == kTiny);
  CHECK(captured.metadata().at("weights") == "f32");
  CHECK(captured.metadata().at("interventions").empty());
  output({"capture", kTiny, "--tokens", "5", "--points", "ffn_out", "-o", file, "--weights", "int8", "--zero", "ffn_out:1",
          "--scale", "coefficients:0:2=0.5", "--zero", "ffn_out:0"});
  const SafetensorsFile changed(file);
  CHECK(changed.metadata().at("weights") == "int8");
  CHECK(changed.metadata().at("interventions") == "--zero ffn_out:1 --scale coefficients:0:2=0.5 --zero ffn_out:0");
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
  CHECK(json["layers"][0]["memories"][0]["promotes"].size() == 2);
  // With the final norm as lens, the last layer's output is the model's own prediction.
  CHECK(json["layers"][11]["residual_post"]["id"] == json["prediction"][0]["id"]);
}

TEST_CASE("ffmem trace: a position, the raw lens, ids without a tokenizer, and interventions") {
  const Json whole = json_output({"trace", kTiny, "--tokens", "9,10,11", "--json", "--position", "1"});
  CHECK(whole == json_output({"trace", kTiny, "--tokens", "9,10", "--json"}));
  CHECK(contains(output({"trace", kTiny, "--tokens", "9,10", "--lens", "raw"}), "raw"));
  CHECK(contains(output({"trace", kTiny, "--tokens", "9,10"}), "#"));
  const Json zeroed = json_output({"trace", kTiny, "--tokens", "9,10", "--json", "--zero", "coefficients:1"});
  CHECK(zeroed["layers"][1]["memories"].empty());
  CHECK(json_output({"trace", kTiny, "--tokens", "9", "--json", "--set", "logits:17=1000"})["prediction"][0]["id"] == 17);
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
  CHECK(positive["promotes"].front()["id"] == negative["promotes"].back()["id"]);
}

TEST_CASE("ffmem show and trace: behind the prefix token an example's tokens give its coefficient again") {
  const TemporaryFolder folder;
  const std::vector<std::string> texts{"The game was released in Japan .", "The album reached number one ."};
  const std::string corpus = folder.write("text", texts[0] + "\n" + texts[1] + "\n");
  const std::string store = (folder.path() / "store").string();
  output({"triggers", kDemo, corpus, "-o", store, "--quiet"});
  const Json shown = json_output({"show", store, "3", "17", "--top", "1", "--json"});
  const Json& example = shown["examples"][0];
  const Json sentence = json_output({"tokenize", kDemo, texts[example["sentence"].get<std::size_t>()], "--json"});
  const std::size_t behind = example["position"].get<std::size_t>() + 1;
  REQUIRE(example["tokens"].size() == behind);
  CHECK(example["next"]["id"] == sentence["tokens"][behind]);
  CHECK(example["trigger"]["id"] == example["tokens"].back());
  CHECK(example["text"].get<std::string>().ends_with(example["trigger"]["text"].get<std::string>()));
  std::string tokens = shown["prefix_token"].dump();
  for (const auto& token : example["tokens"]) tokens.append(",").append(token.dump());
  const Json traced = json_output({"trace", kDemo, "--tokens", tokens, "--json", "--memories", "1024", "--tokens-shown", "1"});
  CHECK(traced["texts"].size() == traced["tokens"].size());
  CHECK(traced["texts"][0] == "<|endoftext|>");
  const Json& memories = traced["layers"][3]["memories"];
  const auto memory = std::ranges::find_if(memories, [](const Json& m) { return m["unit"] == 17; });
  REQUIRE(memory != memories.end());
  CHECK((*memory)["coefficient"] == example["coefficient"]);
  CHECK(contains(output({"show", store, "3", "17"}), "(each sentence read behind <|endoftext|>, token 0)"));
}
