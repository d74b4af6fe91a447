// Temporary files of killed processes: which go, and which stay.
#include "tools/leftovers.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "tests/loaders/temporary_folder.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

const std::string kDead = "4194304";  // Linux gives no process this id or a larger one

}  // namespace

TEST_CASE("remove_leftovers: a temporary file that another machine's process is writing stays") {
  const TemporaryFolder folder;
  AtomicFile file(folder.path() / "out");
  const std::string own = "out.tmp." + std::to_string(::getpid());
  const std::string foreign = "out.tmp." + kDead;
  std::filesystem::rename(folder.path() / own, folder.path() / foreign);
  remove_leftovers(folder.path() / "out");
  CHECK(std::filesystem::exists(folder.path() / foreign));
}

TEST_CASE("remove_leftovers: temporary files of killed processes are removed, other files are not") {
  const TemporaryFolder folder;
  const std::vector<std::string> gone{"out.tmp." + kDead, "out.tmp." + kDead + ".99", "out.partial.tmp." + kDead};
  const std::vector<std::string> kept{"out",
                                      "out.partial",
                                      "out.tmp." + std::to_string(::getpid()),
                                      "out.tmp.x" + kDead,
                                      "other.tmp." + kDead,
                                      "out.tmp.",
                                      "out.tmp.20240101",
                                      "out.tmp.4194305",
                                      "out.tmp.99999999999",
                                      "out.tmp.-5",
                                      "out.tmp.04194304",
                                      "out.tmp." + kDead + ".",
                                      "out.tmp." + kDead + ".0",
                                      "out.tmp." + kDead + ".100",
                                      "out.tmp." + kDead + ".1.1"};
  for (const auto& name : gone) folder.write(name, "");
  for (const auto& name : kept) folder.write(name, "");
  remove_leftovers(folder.path() / "out");
  remove_leftovers(folder.path() / "out.partial");
  for (const auto& name : gone) CHECK(!std::filesystem::exists(folder.path() / name));
  for (const auto& name : kept) CHECK(std::filesystem::exists(folder.path() / name));

  std::filesystem::create_directories(folder.path() / "below");
  folder.write("below/deep.csv.tmp." + kDead, "");
  folder.write("deep.csv.tmp." + kDead + ".1", "");
  folder.write("notes.tmp." + kDead + ".txt", "");  // somebody else's
  constexpr std::array<std::string_view, 2> kExtensions{".csv", ".json"};
  remove_leftovers_in(folder.path(), kExtensions);
  remove_leftovers_in(folder.path() / "nowhere", kExtensions);
  remove_leftovers(folder.path() / "nowhere" / "out");
  CHECK(std::filesystem::exists(folder.path() / "below" / ("deep.csv.tmp." + kDead)));
  CHECK(!std::filesystem::exists(folder.path() / ("deep.csv.tmp." + kDead + ".1")));
  CHECK(std::filesystem::exists(folder.path() / ("other.tmp." + kDead)));
  CHECK(std::filesystem::exists(folder.path() / ("notes.tmp." + kDead + ".txt")));
  CHECK(std::filesystem::exists(folder.path() / ("out.tmp.x" + kDead)));
}
