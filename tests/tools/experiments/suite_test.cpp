// The whole suite on a tiny model, as a user runs it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "hooks/points.hpp"
#include "loaders/mapped_file.hpp"
#include "loaders/safetensors.hpp"
#include "ops/error.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tests/tools/tiny_model.hpp"
#include "tools/experiments/experiments.hpp"

using namespace ffmem;

namespace {

/// Every array in the folder has its line in tools/FILES.md.
void check_told(const std::filesystem::path& folder) {
  const std::string page = read_text_file(FFMEM_TEST_DATA "/../../tools/FILES.md");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CAPTURE(entry.path());
    CHECK(contains(page, entry.path().stem().string()));
    const SafetensorsFile file(entry.path());
    for (const auto& [name, tensor] : file.tensors()) CHECK(contains(page, concat("`", name, "`")));
  }
}

/// Sentences of the tiny model's words; a few of them again and again.
std::string corpus(std::size_t n_sentences, std::size_t step) {
  std::string text;
  for (std::size_t s = 0; s < n_sentences; ++s) {
    for (std::size_t w = 0; w < 3 + s % 9; ++w)
      text.append("w").append(std::to_string((s * step + w * w) % 60 + 3)).append(" ");
    text += "\n";
  }
  return text;
}

struct SuiteRun {
  ModelFolder model;
  TemporaryFolder folder;
  std::string train = folder.write("train.txt", corpus(120, 7));
  std::string valid = folder.write("valid.txt", corpus(60, 11));

  SuiteRun() { model.add_tokenizer(64); }

  std::vector<std::string> command(const std::string& out, const std::string& threads = "2") const {
    return {"suite",      "--train",
            train,        "--valid",
            valid,        model.path(),
            "-o",         (folder.path() / out).string(),
            "--top",      "5",
            "--examples", "40",
            "--quiet",    "--sentences",
            "lines",      "--threads",
            threads,      "--removal-keys",
            "3",          "--effect-examples",
            "5"};
  }
};

/// Every file below a folder and its content, but for the manifest, which tells the time.
std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().filename() == "manifest.json") continue;
    files[entry.path().lexically_relative(folder).string()] = read_text_file(entry.path());
  }
  return files;
}

/// An experiment whose gnuplot is this script; checks that no half file is left.
CommandResult drawn_by(const std::string& script) {
  const SuiteRun run;
  const auto gnuplot = run.folder.write("gnuplot", "#!/bin/sh\n" + script);
  std::filesystem::permissions(gnuplot, std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (run.folder.path().string() + ":" + path).c_str(), 1);
  const auto out = run.folder.path() / "out";
  CommandResult result = ffmem_command(
      {"experiment", "trigger-patterns", run.model.path(), "--train", run.train, "-o", out, "--sentences", "lines", "--quiet"});
  ::setenv("PATH", path.c_str(), 1);
  for (const auto& entry : std::filesystem::directory_iterator(out / "trigger-patterns")) {
    CHECK_FALSE(contains(entry.path().filename().string(), ".tmp."));
  }
  return result;
}

}  // namespace

TEST_CASE("ffmem suite: every experiment leaves its folder, and the report shows each with the paper beside it") {
  const SuiteRun run;
  const auto out = run.folder.path() / "out";
  CHECK(contains(output(run.command("out")), "report.html"));
  const std::string report = read_text_file(out / "report.html");
  for (const tools::Experiment& experiment : tools::all_experiments()) {
    CAPTURE(experiment.name);
    CHECK(std::filesystem::exists(out / experiment.name / "result.json"));
    CHECK(contains(report, std::string("<section id=\"").append(experiment.name).append("\">")));
  }
  check_told(out / "data");
  const auto manifest = nlohmann::json::parse(read_text_file(out / "manifest.json"));
  CHECK(manifest.contains("total_seconds"));
  CHECK(manifest["model"] == run.model.path());
  CHECK(manifest["options"]["train"] == nlohmann::json::array({run.train}));
  CHECK(manifest["options"]["weights"] == "f32");
  CHECK(manifest["options"]["top"] == 5);
  CHECK(manifest["options"]["sentences"] == "lines");
  CHECK(manifest["options"]["target"] == "next");
  CHECK(manifest["options"]["effect-layer"].is_null());
  CHECK_FALSE(manifest["versions"].value("icu", "").empty());
  CHECK(manifest["ranks"] == 1);
  CHECK(manifest["weight_errors"].is_null());  // float32 is the reference
  CHECK(manifest["run"].value("Tokens of a sentence's run, at most", "") == "32");
  CHECK(contains(report, "the token behind the prefix"));
  CHECK(contains(read_text_file(out / "memories" / "index.html"), "\"layers\": 3"));
  CHECK(contains(read_text_file(out / "memories" / "block-1.js"), "ffmem_block(1,["));  // 132 memories, 128 a file
}

TEST_CASE("ffmem experiment: its folder has a manifest, which tells each point's error in another mode than f32") {
  const SuiteRun run;
  const auto out = run.folder.path() / "out";
  output({"experiment", "active-memories", run.model.path(), "--valid", run.valid, "-o", out, "--sentences", "lines",
          "--examples", "20", "--weights", "int8", "--quiet"});
  const auto manifest = nlohmann::json::parse(read_text_file(out / "active-memories" / "manifest.json"));
  CHECK(manifest["run"]["weights"] == "int8");
  CHECK(manifest["seconds"].contains("active-memories"));
  CHECK(manifest["weight_errors"]["tokens"] == 16);
  const auto& points = manifest["weight_errors"]["points"];
  CHECK(points.size() == kNumPoints);
  CHECK(points.value("logits", 0.0) > 0.0);
  CHECK(points.value("logits", 1.0) < 0.1);
}

TEST_CASE("ffmem suite: one thread or two, and again over what is there: the same bytes") {
  const SuiteRun run;
  output(run.command("one", "1"));
  output(run.command("two", "2"));
  const auto one = files_of(run.folder.path() / "one");
  CHECK(one == files_of(run.folder.path() / "two"));
  const auto reused = [&] {
    return nlohmann::json::parse(read_text_file(run.folder.path() / "one" / "manifest.json"))["reused"];
  };
  CHECK(reused().empty());
  std::filesystem::remove(run.folder.path() / "one/data/layer-pass.safetensors");
  output(run.command("one", "2"));
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(run.folder.path() / "one/data")) {
    if (entry.path().filename() != "layer-pass.safetensors") found.insert(entry.path().filename());
  }
  CHECK(reused() == nlohmann::json(found));
  CHECK(one == files_of(run.folder.path() / "one"));
}

TEST_CASE("ffmem experiment: Ctrl-C while a figure is drawn is exit code 130 and leaves no half figure") {
  const CommandResult result = drawn_by(": > \"${4%.gp}.svg.tmp.$PPID\"\nkill -INT $PPID\nexit 1\n");
  CHECK(result.exit_code == 130);
  CHECK(contains(result.err, "interrupted"));
}

TEST_CASE("ffmem experiment: a gnuplot that fails is an error with its words, and leaves no half figure") {
  const CommandResult result = drawn_by(": > \"${4%.gp}.svg.tmp.$PPID\"\necho unknown terminal >&2\nexit 3\n");
  CHECK(result.exit_code == 1);
  CHECK_MESSAGE(contains(result.err, "trigger-patterns.gp: gnuplot ended with 3, saying: unknown terminal"), result.err);
}

TEST_CASE("ffmem suite: what is missing or wrong is one line") {
  const SuiteRun run;
  CHECK(ffmem_command({"suite", "--train", run.train, run.model.path(), "-o", "x"}).exit_code == 2);
  auto command = run.command("out");
  command[2] = (run.folder.path() / "nowhere").string();
  const CommandResult result = ffmem_command(command);
  CHECK(result.exit_code == 1);
  CHECK(contains(result.err, "nowhere"));
  // Before hours of work on the training text.
  for (const std::string& text : {std::string(), std::string("alone\n"), std::string("\xff\xfe words\n")}) {
    const std::string valid = run.folder.write("wrong.txt", text);
    command = run.command("out-wrong");
    command[4] = valid;
    CHECK(ffmem_command(command).exit_code == 1);
    CHECK(contains(ffmem_command(command).err, valid));
    CHECK(std::filesystem::is_empty(run.folder.path() / "out-wrong" / "data"));
  }
  const CommandResult unknown = ffmem_command({"experiment", "nothing", run.model.path(), "-o", "x"});
  CHECK(unknown.exit_code != 0);
  CHECK(contains(unknown.err, "trigger-patterns"));
}
