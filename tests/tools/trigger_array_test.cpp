// tools/slurm/trigger_array.sh as it is used by hand, without Slurm, and with an sbatch that only tells what it was given.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

using namespace ffmem;

namespace {

const std::string kText = "It rained all day. The river rose.\nShe wrote a letter to the king.\nIt rained.\n";

struct Array {
  TemporaryFolder folder;
  std::string script = (std::filesystem::path(FFMEM_TEST_DATA) / "../../tools/slurm/trigger_array.sh").string();

  Array() {
    folder.write("corpus", kText);
    std::filesystem::copy(FFMEM_DEMO_MODEL, path("model"));
  }

  std::string path(const std::string& name) const { return (folder.path() / name).string(); }

  /// The exit code of what a shell runs in the folder; what it says stands in the files "said" and "err".
  int shell(const std::string& command) const {
    const int status = std::system(("cd '" + folder.path().string() + "' && (" + command + ") > said 2> err").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  /// Of the script.
  int run(const std::string& environment, const std::string& arguments) const {
    return shell("FFMEM='" FFMEM_COMMAND "' SLURM_CPUS_PER_TASK=1 " + environment + " bash '" + script + "' " + arguments);
  }

  std::string err() const { return read_text_file(path("err")); }

  /// Which of the two shards are searched.
  std::string searched(const std::string& corpus) const {
    std::string shards;
    for (const std::string i : {"0", "1"}) {
      CHECK_MESSAGE(run("SLURM_ARRAY_TASK_ID=" + i, "2 model out " + corpus) == 0, err());
      shards += contains(err(), "sentences") ? i : "";
    }
    return shards;
  }

  void check_refused(const std::string& environment, const std::string& arguments, const std::string& part) const {
    CHECK(run(environment, arguments) == 2);
    CHECK_MESSAGE(contains(err(), part), err());
  }
};

}  // namespace

TEST_CASE("trigger_array: the merged shards have the bytes of one search, and go") {
  const Array array;
  CHECK(array.searched("corpus") == "01");
  CHECK_MESSAGE(array.run("", "--merge 2 model out corpus") == 0, array.err());
  CHECK(array.shell("'" FFMEM_COMMAND "' triggers model corpus -o whole") == 0);
  CHECK(read_text_file(array.path("out")) == read_text_file(array.path("whole")));
  CHECK_FALSE(std::filesystem::exists(array.path("out.shard-0-of-2")));
}

TEST_CASE("trigger_array: where the whole result is there already, nothing is searched or merged, unless it is of others") {
  const Array array;
  array.folder.write("other", "It rained all day.\nThe king died in 1432.\n");
  CHECK(array.shell("'" FFMEM_COMMAND "' triggers model corpus -o out") == 0);
  CHECK(array.searched("corpus").empty());
  CHECK(contains(array.err(), "out is done"));
  CHECK(array.run("", "--merge 2 model out corpus") == 0);
  CHECK(array.searched("other") == "01");
}

TEST_CASE("trigger_array: a shard that is done is searched again where it is of another corpus or model, else not") {
  const Array array;
  array.folder.write("same", kText);
  array.folder.write("other", "It rained all day.\nThe king died in 1432.\n");
  CHECK(array.searched("corpus") == "01");
  CHECK(array.searched("corpus").empty());
  CHECK(array.searched("same").empty());
  CHECK(array.searched("other") == "01");
  CHECK(contains(array.err(), "out.shard-1-of-2: is not the finished result of this search"));
  CHECK(array.searched("other").empty());
  array.folder.write("model/config.json", read_text_file(array.path("model/config.json")) + "\n");
  CHECK(array.searched("other") == "01");
}

TEST_CASE("trigger_array: shards of another corpus are not merged, nor those of another one beside the first") {
  const Array array;
  array.folder.write("other", "It rained all day.\nThe king died in 1432.\n");
  CHECK(array.searched("corpus") == "01");
  CHECK(array.run("", "--merge 2 model out other") == 1);
  CHECK(contains(array.err(), "out.shard-0-of-2: is not the finished search"));
  CHECK(array.run("SLURM_ARRAY_TASK_ID=0", "2 model out other") == 0);
  CHECK(array.run("", "--merge 2 model out other") == 1);
  CHECK(contains(array.err(), "out.shard-1-of-2: is of another search"));
  CHECK_FALSE(std::filesystem::exists(array.path("out")));
  CHECK(std::filesystem::exists(array.path("out.shard-0-of-2")));
}

TEST_CASE("trigger_array: an OUT that is a file of the corpus or the model is exit code 2 in every mode, and stays") {
  const Array array;
  std::filesystem::create_hard_link(array.path("corpus"), array.path("alias"));
  for (const std::string out : {"corpus", "./alias", "model/config.json", "model"}) {
    CAPTURE(out);
    array.check_refused("PATH=.:$PATH", "2 model " + out + " corpus", "would replace");
    array.check_refused("SLURM_ARRAY_TASK_ID=0", "2 model " + out + " corpus", "would replace");
    array.check_refused("", "--merge 2 model " + out + " corpus", "would replace");
  }
  CHECK(read_text_file(array.path("corpus")) == kText);
}

TEST_CASE("trigger_array: a number of shards that is none is exit code 2") {
  const Array array;
  for (const std::string n : {"0", "-1", "02", "2x", "1+1", "''"}) {
    CAPTURE(n);
    array.check_refused("SLURM_ARRAY_TASK_ID=0", n + " model out corpus", "N_SHARDS: expected a whole number");
    array.check_refused("", "--merge " + n + " model out corpus", "N_SHARDS: expected a whole number");
  }
}

TEST_CASE("trigger_array: the merge depends on the tasks by their job's number alone, whatever cluster it names") {
  const Array array;
  const std::string sbatch = array.folder.write("sbatch", "#!/bin/sh\necho \"$@\" >> calls\necho '42;cluster'\n");
  std::filesystem::permissions(sbatch, std::filesystem::perms::owner_all);
  CHECK_MESSAGE(array.run("PATH=\"$PWD:$PATH\"", "3 model out corpus") == 0, array.err());
  const std::string calls = read_text_file(array.path("calls"));
  CHECK(contains(calls, "--array=0-2 "));
  CHECK(contains(calls, "--dependency=afterok:42 "));
}
