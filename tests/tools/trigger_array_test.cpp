// tools/slurm/trigger_array.sh as it is used by hand, without Slurm.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;

TEST_CASE("trigger_array: a shard that is done is searched again where the corpus or the model has changed, else not") {
  const TemporaryFolder folder;
  const std::string corpus =
      folder.write("corpus", "It rained all day. The river rose.\nShe wrote a letter to the king.\nIt rained.\n").string();
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };
  std::filesystem::copy(FFMEM_DEMO_MODEL, path("model"));
  const std::string script = (std::filesystem::path(FFMEM_TEST_DATA) / "../../tools/slurm/trigger_array.sh").string();
  const auto run = [&](const std::string& environment, const std::string& mode) {
    const std::string command = "FFMEM='" FFMEM_COMMAND "' " + environment + " bash '" + script + "' " + mode + " 2 '" +
                                path("model") + "' '" + path("out") + "' '" + corpus + "' 2> '" + path("err") + "'";
    CHECK_MESSAGE(std::system(command.c_str()) == 0, read_text_file(path("err")));
  };
  /// Which of the two shards are searched; files that change later do so at a later time.
  const auto searched = [&] {
    std::string shards;
    for (const std::string i : {"0", "1"}) {
      run("SLURM_ARRAY_TASK_ID=" + i + " SLURM_CPUS_PER_TASK=1", "");
      if (contains(read_text_file(path("err")), "sentences")) shards += i;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return shards;
  };
  CHECK(searched() == "01");
  CHECK(searched().empty());
  // Another corpus, older than the shards, is moved into the place of the first.
  const auto before = std::filesystem::last_write_time(corpus) - std::chrono::hours(1);
  std::filesystem::last_write_time(folder.write("other", "It rained all day.\nThe king died in 1432.\n"), before);
  std::filesystem::rename(path("other"), corpus);
  CHECK(searched() == "01");
  CHECK(contains(read_text_file(path("err")), "out.shard-1-of-2: is older than " + corpus));
  CHECK(searched().empty());
  folder.write("model/config.json", read_text_file(path("model/config.json")));
  CHECK(searched() == "01");

  run("", "--merge");
  output({"triggers", path("model"), corpus, "-o", path("whole")});
  CHECK(read_text_file(path("out")) == read_text_file(path("whole")));
}
