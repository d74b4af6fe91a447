// Real runs under mpirun (built where MPI and mpirun were found when the tests were configured).
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "loaders/safetensors.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command.hpp"

using namespace ffmem;

namespace {

/// Sentences enough that every shard of three runs a few batches.
std::string corpus_text() {
  const std::vector<std::string> subjects{"The river", "A king", "The band", "Her letter", "It"};
  const std::vector<std::string> verbs{"rose by two metres", "died in 1432", "released an album", "was never answered"};
  std::string text;
  for (std::size_t i = 0; i < 60; ++i) {
    text += subjects[i % 5] + " " + verbs[i % 4] + " , and " + std::to_string(i) + " people saw it .\n";
  }
  return text;
}

/// `mpirun -n N PROGRAM ...`, with what Open MPI asks of a test: root may run it, and more ranks than cores.
CommandResult mpirun(int n, const std::string& program, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"}) {
      ::setenv(name, "1", 1);
    }
    ::setenv("OMP_NUM_THREADS", "1", 1);
    ::setenv("TMPDIR", "/tmp", 1);  // its sockets' names have little room
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(::open((folder.path() / "out").c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO);
    ::dup2(::open((folder.path() / "err").c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    std::vector<std::string> words{FFMEM_MPIRUN, "-n", std::to_string(n), program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {.exit_code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status),
          .out = read_text_file(folder.path() / "out"),
          .err = read_text_file(folder.path() / "err")};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

/// A number of a JSON object, by its name.
double number(const std::string& json, const std::string& name) {
  const std::string key = "\"" + name + "\":";
  const std::size_t at = json.find(key);
  REQUIRE_MESSAGE(at != std::string::npos, json);
  return std::stod(json.substr(at + key.size()));
}

struct Work {
  TemporaryFolder folder;
  std::string corpus = folder.write("corpus", corpus_text()).string();

  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  std::vector<std::string> search(const std::string& out, const std::string& batch_tokens = "64") const {
    return {"triggers", FFMEM_DEMO_MODEL, corpus, "-o", path(out), "--top", "4", "--batch-tokens", batch_tokens};
  }
  std::size_t n_files() const {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++n;
    return n;
  }
};

}  // namespace

TEST_CASE("ranks: one, two and three write the bytes of a run without mpirun, and rank 0 alone speaks") {
  const Work work;
  REQUIRE(ffmem_command(work.search("alone")).exit_code == 0);
  const std::string expected = read_text_file(work.path("alone"));
  for (const int n : {1, 2, 3}) {
    CAPTURE(n);
    std::vector<std::string> arguments = work.search("out");
    arguments.emplace_back("--json");
    const CommandResult result = mpirun(n, FFMEM_COMMAND, arguments);
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    CHECK(read_text_file(work.path("out")) == expected);
    CHECK(count(result.out, "\"tokens\"") == 1);
    CHECK(count(result.err, "ffmem: 60 sentences") == 1);
    CHECK(work.n_files() == 3);  // corpus and two results: no checkpoint is left
  }
}

TEST_CASE("ranks: a run whose ranks were killed goes on from their checkpoints to the same bytes") {
  const Work work;
  REQUIRE(ffmem_command(work.search("alone")).exit_code == 0);
  std::vector<std::string> arguments = work.search("out", "8");
  arguments.insert(arguments.end(), {"--checkpoint-every", "0"});
  // Killed as soon as a checkpoint is there, the first of many.
  std::string words;
  for (const std::string& argument : arguments) words += " '" + argument + "'";
  const std::string script = "'" FFMEM_COMMAND "'" + words + " & child=$!; while ! [ -e '" + work.path("out") +
                             "'.rank-$OMPI_COMM_WORLD_RANK-of-2.partial ]; do sleep 0.01; kill -0 $child || break; done; "
                             "kill -9 $child; wait $child; exit 0";
  bool done = true;
  for (int tries = 0; done && tries < 10; ++tries) {  // a busy machine may look too late
    std::filesystem::remove(work.path("out"));
    const CommandResult killed = mpirun(2, "/bin/sh", {"-c", script});
    CHECK(killed.exit_code != 127);
    done = std::filesystem::exists(work.path("out"));
  }
  REQUIRE_FALSE(done);
  const CommandResult other = mpirun(3, FFMEM_COMMAND, work.search("out"));
  CHECK(other.exit_code == 1);
  CHECK(count(other.err, "another number of ranks") == 1);
  const CommandResult alone = ffmem_command(work.search("out"));
  CHECK(alone.exit_code == 1);
  CHECK(contains(alone.err, "another number of ranks than 1"));
  double tokens_before = 0.0;
  for (const char* rank : {"0", "1"}) {
    const std::string checkpoint = work.path(std::string("out.rank-") + rank + "-of-2.partial");
    if (std::filesystem::exists(checkpoint)) tokens_before += std::stod(SafetensorsFile(checkpoint).metadata().at("n_tokens"));
  }
  CHECK(tokens_before > 0.0);
  std::vector<std::string> last = work.search("out");
  last.emplace_back("--json");
  const CommandResult result = mpirun(2, FFMEM_COMMAND, last);
  CHECK_MESSAGE(result.exit_code == 0, result.err);
  CHECK(read_text_file(work.path("out")) == read_text_file(work.path("alone")));
  // The rate is that of this run's tokens, of all ranks.
  const double tokens_now = number(result.out, "tokens_per_second") * number(result.out, "seconds");
  CHECK(tokens_now == doctest::Approx(number(result.out, "tokens") - tokens_before));
  CHECK(work.n_files() == 3);
}

TEST_CASE("ranks: with --unless-done a result of the whole corpus is left by all, another one is replaced") {
  const Work work;
  const std::string first = work.path("first");
  const auto run = [&](const std::string& top) {
    std::vector<std::string> arguments = work.search("out");
    *std::next(std::ranges::find(arguments, "--top")) = top;
    arguments.emplace_back("--unless-done");
    const CommandResult result = mpirun(2, FFMEM_COMMAND, arguments);
    CHECK_MESSAGE(result.exit_code == 0, result.err);
    return count(result.err, "is the finished result of this search");
  };
  REQUIRE(ffmem_command(work.search("out")).exit_code == 0);
  std::filesystem::create_hard_link(work.path("out"), first);
  CHECK(run("4") == 1);
  CHECK(std::filesystem::equivalent(work.path("out"), first));
  CHECK(run("5") == 0);
  CHECK_FALSE(std::filesystem::equivalent(work.path("out"), first));
}

TEST_CASE("ranks: an error on all is told once, one on a single rank ends the others, each with its exit code") {
  const Work work;
  const CommandResult missing =
      mpirun(3, FFMEM_COMMAND, {"triggers", FFMEM_DEMO_MODEL, "/nowhere/text", "-o", work.path("out")});
  CHECK(missing.exit_code == 1);
  CHECK(count(missing.err, "ffmem: /nowhere/text") == 1);
  const CommandResult usage = mpirun(2, FFMEM_COMMAND, {"triggers", FFMEM_DEMO_MODEL, "--top", "x"});
  CHECK(usage.exit_code == 2);
  CHECK(count(usage.err, "ffmem: ") == 1);
  const CommandResult sharded = mpirun(2, FFMEM_COMMAND, [&] {
    std::vector<std::string> arguments = work.search("out");
    arguments.insert(arguments.end(), {"--shard", "0/2"});
    return arguments;
  }());
  CHECK(sharded.exit_code == 1);
  CHECK(contains(sharded.err, "the 2 ranks share the corpus"));
  // What stands where rank 1's checkpoint goes is no checkpoint.
  work.folder.write("out.rank-1-of-2.partial", "not a checkpoint at all");
  const CommandResult single = mpirun(2, FFMEM_COMMAND, work.search("out"));
  CHECK(single.exit_code == 1);
  CHECK(count(single.err, "ffmem: rank 1: " + work.path("out.rank-1-of-2.partial")) == 1);
  CHECK(!std::filesystem::exists(work.path("out")));
}

TEST_CASE("ranks: commands without a part for them run on rank 0 alone, help is printed once") {
  CHECK(mpirun(2, FFMEM_COMMAND, {"--version"}).out == ffmem_command({"--version"}).out);
  const CommandResult info = mpirun(2, FFMEM_COMMAND, {"info", FFMEM_DEMO_MODEL});
  CHECK(info.exit_code == 0);
  CHECK(info.out == ffmem_command({"info", FFMEM_DEMO_MODEL}).out);
  CHECK(count(mpirun(2, FFMEM_COMMAND, {"triggers", "--help"}).out, "Examples:") == 1);
  CHECK(mpirun(2, FFMEM_COMMAND, {"info", "/nowhere"}).exit_code == 1);
}

TEST_CASE("ranks: a text's perplexity is the same number for any number of them") {
  const Work work;
  const std::vector<std::string> alone{"perplexity", FFMEM_DEMO_MODEL, work.corpus, "--window", "16", "--json"};
  const CommandResult expected = ffmem_command(alone);
  REQUIRE_MESSAGE(expected.exit_code == 0, expected.err);
  for (const int n : {2, 3}) {
    const CommandResult shared = mpirun(n, FFMEM_COMMAND, alone);
    CHECK_MESSAGE(shared.exit_code == 0, shared.err);
    CHECK(shared.out == expected.out);
  }
  // One window for three ranks.
  std::vector<std::string> one = alone;
  one.insert(one.end(), {"--max-tokens", "9"});
  CHECK(mpirun(3, FFMEM_COMMAND, one).out == ffmem_command(one).out);
  // Each rank a text of its own.
  work.folder.write("other-1", "It rose by two metres .\n");
  work.folder.write("other-0", corpus_text());
  const std::string script = "exec '" FFMEM_COMMAND "' perplexity '" FFMEM_DEMO_MODEL "' '" + work.path("other-") +
                             "'$OMPI_COMM_WORLD_RANK --max-tokens 6";
  const CommandResult differing = mpirun(2, "/bin/sh", {"-c", script});
  CHECK(differing.exit_code == 1);
  CHECK(contains(differing.err, "rank 1 read other files than rank 0"));
}

TEST_CASE("ranks: an experiment's search is shared by all of them, and its result is that of one") {
  const Work work;
  const auto experiment = [&](const std::string& out) {
    return std::vector<std::string>{"experiment", "trigger-patterns", FFMEM_DEMO_MODEL, "--train", work.corpus,
                                    "-o",         work.path(out),     "--quiet"};
  };
  const CommandResult alone = ffmem_command(experiment("alone"));
  REQUIRE_MESSAGE(alone.exit_code == 0, alone.err);
  const CommandResult shared = mpirun(2, FFMEM_COMMAND, experiment("shared"));
  CHECK_MESSAGE(shared.exit_code == 0, shared.err);
  const auto store = [&](const std::string& out) { return read_text_file(work.path(out) + "/data/triggers.safetensors"); };
  CHECK(store("shared") == store("alone"));
}

TEST_CASE("ranks: prefixes are sampled from the whole validation text, however many ranks there are") {
  const Work work;
  const auto experiment = [&](const std::string& out) {
    return std::vector<std::string>{"experiment", "active-memories", FFMEM_DEMO_MODEL, "--valid", work.corpus,
                                    "-o",         work.path(out),    "--examples",     "50",      "--quiet"};
  };
  const CommandResult alone = ffmem_command(experiment("alone"));
  REQUIRE_MESSAGE(alone.exit_code == 0, alone.err);
  const CommandResult shared = mpirun(2, FFMEM_COMMAND, experiment("shared"));
  CHECK_MESSAGE(shared.exit_code == 0, shared.err);
  const auto pass = [&](const std::string& out) { return read_text_file(work.path(out) + "/data/layer-pass.safetensors"); };
  CHECK(pass("shared") == pass("alone"));
}
