// Where results go: what commands refuse to write over, and what they leave there.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "ops/error.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tools/commands.hpp"

using namespace ffmem;

TEST_CASE("ffmem: a result that would replace what it is made from is exit code 2") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "A sentence.\n");
  const std::string alias = (folder.path() / "alias.txt").string();
  std::filesystem::create_hard_link(text, alias);
  check_complaint({"triggers", kDemo, text, "-o", text}, 2, {text, "would replace"});
  check_complaint({"triggers", kDemo, text, "-o", alias}, 2, {alias, "would replace"});
  check_complaint({"merge", text, "-o", text}, 2, {"would replace"});
  check_complaint({"export", text, "--format", "npy", "-o", text}, 2, {"would replace"});
  check_complaint({"report", "--triggers", "t", "--values", text, "-o", text}, 2, {"would replace"});
  check_complaint({"capture", kTiny, "--tokens-file", text, "--points", "ffn_in", "-o", text}, 2, {"would replace"});
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
  model.write("generation_config.json", "{}");
  const std::string in_model = model.path() + "/";
  const std::string store = folder.path() / "store";
  const Arguments capture{"capture", model.path(), "--tokens", "5", "--points", "coefficients"};
  output({"triggers", model.path(), text, "-o", store, "--quiet"});
  for (const std::string name :
       {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "shard.safetensors"}) {
    const std::string before = read_text_file(in_model + name);
    check_complaint({"triggers", model.path(), text, "-o", in_model + name}, 2, {name, "would replace"});
    check_complaint({"values", model.path(), "-o", in_model + name}, 2, {name, "would replace"});
    check_complaint(with(capture, {"-o", in_model + name}), 2, {name, "would replace"});
    check_complaint({"export", store, "--format", "authors", "-o", in_model + name}, 2, {name, "would replace"});
    CHECK(read_text_file(in_model + name) == before);
  }
  output(with(capture, {"-o", in_model + "own.safetensors"}));
  const std::string patch = in_model + "own.safetensors";
  for (const Arguments& edit : {Arguments{"--patch", "coefficients:0=" + patch}, {"--add", "ffn_out:0=" + patch + ":x"}}) {
    check_complaint(with(with(capture, edit), {"-o", patch}), 2, {"would replace"});
  }
}

TEST_CASE("ffmem: what a killed run left beside a result is removed when the result is written again") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\n");
  const ModelFolder model;
  model.add_tokenizer(64);
  const auto path = [&](const char* name) { return (folder.path() / name).string(); };
  const std::string store = path("store");
  const std::string values = path("values");
  const std::vector<Arguments> commands{
      {"triggers", model.path(), text, "--quiet", "-o", store},
      {"values", model.path(), "--quiet", "-o", values},
      {"capture", model.path(), "--tokens", "5", "--points", "ffn_in", "-o", path("captured")},
      {"merge", store, "-o", path("merged")},
      {"export", store, "--format", "authors", "--quiet", "-o", path("authors.jsonl")},
      {"report", "--triggers", store, "--values", values, "-o", path("report.html")}};
  for (const Arguments& command : commands) {
    const std::string left = command.back() + ".tmp." + "4194304";  // no process has this id
    std::ofstream(left) << "half";
    output(command);
    CAPTURE(command.front());
    CHECK(std::filesystem::exists(command.back()));
    CHECK_FALSE(std::filesystem::exists(left));
  }
}

TEST_CASE("ffmem merge: Ctrl-C, an end that is asked for and a closed terminal are caught unless ignored, and leave nothing") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\n");
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string store = folder.path() / "store";
  const std::string out = folder.path() / "merged";
  output({"triggers", model.path(), text, "--quiet", "-o", store});
  const auto merge = [&] {
    CLI::App app;
    tools::add_merge(app);
    app.parse("merge " + store + " -o " + out, false);
  };
  enum { kWentOn, kInterrupted, kFailed };
  const auto end = [&](int signal, sighandler_t before) {
    const pid_t child = ::fork();  // the mark of an interrupt stays for the rest of a process
    if (child == 0) {
      std::signal(signal, before);
      try {
        merge();
        std::filesystem::remove(out);
        std::raise(signal);
        std::raise(signal);  // a closing terminal tells twice
        merge();
        std::filesystem::remove(out);
      } catch (const Error& error) {
        ::_exit(error.code() == ErrorCode::interrupted ? kInterrupted : kFailed);
      }
      ::_exit(kWentOn);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    CHECK(end(signal, SIG_DFL) == kInterrupted);
    CHECK(end(signal, SIG_IGN) == kWentOn);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);  // corpus and store
}

TEST_CASE("ffmem export: what a killed run left in the folder that it writes is removed") {
  const TemporaryFolder folder;
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\n");
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string store = folder.path() / "store";
  output({"triggers", model.path(), text, "--quiet", "-o", store});
  const Arguments to_export{"export", store, "--quiet", "-o", folder.path() / "out", "--format"};
  output(with(to_export, {"npy"}));
  output(with(to_export, {"openai", "--layers", "1", "--units", "0:2"}));
  for (const std::string left : {"out/position.npy.tmp.4194304", "out/neurons/1/0.json.tmp.4194304"})
    folder.write(left, "half");
  output(with(to_export, {"npy"}));
  output(with(to_export, {"openai", "--layers", "2", "--units", "0:2"}));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    CHECK_FALSE(contains(entry.path().string(), ".tmp."));
  }
}

TEST_CASE("ffmem experiment: a text among the files that it writes is exit code 2, and stays") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  std::filesystem::create_directories(folder.path() / "value-ranks");
  std::filesystem::create_directories(folder.path() / "data");
  const auto arguments = [&](const std::string& name) {
    const std::string text = folder.write(name, "w5 w6\nw7 w8 w9\n");
    return Arguments{"experiment", "value-ranks", model.path(), "--train", text, "--quiet", "-o", folder.path()};
  };
  for (const std::string name : {"manifest.json", "report.html", "value-ranks/ranks.csv", "data/triggers.safetensors"}) {
    check_complaint(arguments(name), 2, {"-o " + folder.path().string()});
    CHECK(read_text_file(folder.path() / name) == "w5 w6\nw7 w8 w9\n");
  }
  output(arguments("data/train.txt"));
}

TEST_CASE("ffmem experiment: without the text that it reads it is exit code 2, and no folder is made") {
  const TemporaryFolder folder;
  const std::string out = folder.path() / "out";
  check_complaint({"experiment", "value-ranks", kDemo, "--valid", "x", "-o", out}, 2, {"--train FILE"});
  check_complaint({"experiment", "memory-effects", kDemo, "--train", "x", "-o", out}, 2, {"--valid FILE"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("ffmem triggers: a corpus under the name of its checkpoint is exit code 2, and stays") {
  const TemporaryFolder folder;
  const std::string out = folder.path() / "out";
  for (const std::string name : {"out.partial", "out.rank-1-of-4.partial"}) {
    const std::string text = folder.write(name, "A sentence.\n");
    check_complaint({"triggers", kDemo, text, "-o", out, "--restart"}, 2, {"checkpoint", text});
    CHECK(read_text_file(text) == "A sentence.\n");
    std::filesystem::remove(text);
  }
}

TEST_CASE("ffmem triggers --unless-done: the result of the same request is left as it is, another one is replaced") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\nw8 w9\n");
  const std::string same = folder.write("same.txt", "w5 w6 w7\nw8 w9\n");
  const std::string other = folder.write("other.txt", "w5 w6\n");
  const std::string out = folder.path() / "out";
  std::ofstream(out) << "no store";
  /// Whether anything was searched; the file is another one then, because a new one is renamed over it.
  const auto searched = [&](const std::string& corpus, const Arguments& more = {}) {
    const std::string alias = folder.path() / "alias";
    std::filesystem::remove(alias);
    std::filesystem::create_hard_link(out, alias);
    const CommandResult result = ffmem_command(with({"triggers", model.path(), corpus, "-o", out, "--unless-done"}, more));
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    const bool replaced = !std::filesystem::equivalent(out, alias);
    CHECK(
        contains(result.err, replaced ? "is not the finished result of this search" : "is the finished result of this search"));
    CHECK(replaced == contains(result.err, "tokens/s"));
    return replaced;
  };
  CHECK(searched(text));
  CHECK_FALSE(searched(text));
  CHECK_FALSE(searched(same, {"--batch-tokens", "7"}));
  CHECK(searched(other));
  CHECK(searched(text));
  for (const Arguments& more : {Arguments{"--top", "3"}, {"--shard", "0/2"}, {"--shard", "1/2"}, {"--weights", "bf16"}}) {
    CAPTURE(more.back());
    CHECK(searched(text, more));
    CHECK_FALSE(searched(text, more));
  }
  const CommandResult result = ffmem_command({"triggers", model.path(), text, "-o", out, "--unless-done", "--top", "4"});
  CHECK(contains(result.err, "(top: '50' and '4'), and will be replaced"));
  check_complaint({"triggers", model.path(), text, "-o", out, "--unless-done", "--restart"}, 2, {"--restart"});
}

TEST_CASE("ffmem triggers --unless-done --json: what is done is told as if it had just been searched, without times") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\nw8 w9\n");
  const Arguments command{"triggers", model.path(), text, "-o", folder.path() / "out", "--json", "--unless-done", "--quiet"};
  nlohmann::json first = json_output(command);
  const nlohmann::json again = json_output(command);
  CHECK(first["tokens"] == 5);
  CHECK(first["searched"] == true);
  CHECK(first["seconds"] > 0.0);
  first["searched"] = false;
  for (const char* measured : {"seconds", "tokens_per_second"}) first[measured] = nullptr;
  CHECK(again == first);
}

TEST_CASE("ffmem merge --json: two shards are told as the search of the whole corpus tells itself") {
  const TemporaryFolder folder;
  const ModelFolder model;
  model.add_tokenizer(64);
  const std::string text = folder.write("corpus.txt", "w5 w6 w7\nw8 w9\nw1 w2\n");
  const auto search = [&](const std::string& name, Arguments more) {
    more.insert(more.begin(), {"triggers", model.path(), text, "-o", folder.path() / name, "--json", "--quiet"});
    return json_output(more);
  };
  const nlohmann::json whole = search("whole", {});
  search("0", {"--shard", "0/2"});
  search("1", {"--shard", "1/2"});
  const nlohmann::json merged =
      json_output({"merge", folder.path() / "1", folder.path() / "0", "-o", folder.path() / "merged", "--json"});
  CHECK(merged["stores"] == 2);
  CHECK(merged["whole"] == true);
  for (const char* same : {"sentences", "tokens", "cut_sentences", "keys", "keys_never_fired"})
    CHECK(merged[same] == whole[same]);
  const nlohmann::json part = json_output({"merge", folder.path() / "1", "-o", folder.path() / "merged", "--json"});
  CHECK(part["whole"] == false);
  CHECK(part["shards"] == "1/2");
}
