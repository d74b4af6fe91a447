// Where results go: what commands refuse to write over, and what they leave there.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;

namespace {

using Arguments = std::vector<std::string>;

void check_refused(const Arguments& arguments, const std::vector<std::string>& parts) {
  const CommandResult result = ffmem_command(arguments);
  CAPTURE(result.err);
  CHECK(result.exit_code == 2);
  for (const std::string& part : parts) CHECK(contains(result.err, part));
}

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("ffmem: a result that would replace what it is made from is exit code 2") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "A sentence.\n");
  const std::string alias = (folder.path() / "alias.txt").string();
  std::filesystem::create_hard_link(text, alias);
  check_refused({"triggers", kDemo, text, "-o", text}, {text, "would replace"});
  check_refused({"triggers", kDemo, text, "-o", alias}, {alias, "would replace"});
  check_refused({"merge", text, "-o", text}, {"would replace"});
  check_refused({"export", text, "--format", "npy", "-o", text}, {"would replace"});
  check_refused({"report", "--triggers", "t", "--values", text, "-o", text}, {"would replace"});
  check_refused({"capture", kTiny, "--tokens-file", text, "--points", "ffn_in", "-o", text}, {"would replace"});
  CHECK(read_text_file(text) == "A sentence.\n");
}

TEST_CASE("ffmem: a result that would replace a file of its model, or one that a run is changed by, is exit code 2") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\n");
  const ModelFolder model;
  model.add_tokenizer(64);
  model.write("model.safetensors.index.json", R"({"weight_map": {"x": "shard.safetensors"}})");
  model.write("shard.safetensors", "");
  model.write("own.safetensors", "not the model's");
  const std::string in_model = model.path() + "/";
  const std::string store = folder.path() / "store";
  const Arguments capture{"capture", model.path(), "--tokens", "5", "--points", "coefficients"};
  output({"triggers", model.path(), text, "-o", store, "--quiet"});
  for (const std::string name : {"config.json", "tokenizer.json", "model.safetensors", "shard.safetensors"}) {
    const std::string before = read_text_file(in_model + name);
    check_refused({"triggers", model.path(), text, "-o", in_model + name}, {name, "would replace"});
    check_refused({"values", model.path(), "-o", in_model + name}, {name, "would replace"});
    check_refused(with(capture, {"-o", in_model + name}), {name, "would replace"});
    check_refused({"export", store, "--format", "authors", "-o", in_model + name}, {name, "would replace"});
    CHECK(read_text_file(in_model + name) == before);
  }
  output(with(capture, {"-o", in_model + "own.safetensors"}));
  const std::string patch = in_model + "own.safetensors";
  for (const Arguments& edit : {Arguments{"--patch", "coefficients:0=" + patch}, {"--add", "ffn_out:0=" + patch + ":x"}}) {
    check_refused(with(with(capture, edit), {"-o", patch}), {"would replace"});
  }
}

TEST_CASE("ffmem triggers: a corpus under the name of its checkpoint is exit code 2, and stays") {
  const TemporaryFolder folder;
  const std::string out = folder.path() / "out";
  for (const std::string name : {"out.partial", "out.rank-1-of-4.partial"}) {
    const std::string text = folder.write(name, "A sentence.\n");
    check_refused({"triggers", kDemo, text, "-o", out, "--restart"}, {"checkpoint", text});
    CHECK(read_text_file(text) == "A sentence.\n");
    std::filesystem::remove(text);
  }
}
