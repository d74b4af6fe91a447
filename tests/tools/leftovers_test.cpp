// Temporary files of killed processes: which go, and which stay.
#include "tools/leftovers.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "tests/loaders/temporary_folder.hpp"

using namespace ffmem;
using namespace ffmem::tools;

TEST_CASE("remove_leftovers: a temporary file that another machine's process is writing stays") {
  const TemporaryFolder folder;
  AtomicFile file(folder.path() / "out");
  const std::string own = "out.tmp." + std::to_string(::getpid());
  const std::string foreign = "out.tmp." + std::to_string(std::numeric_limits<pid_t>::max());  // not a process of this machine
  std::filesystem::rename(folder.path() / own, folder.path() / foreign);
  remove_leftovers(folder.path() / "out");
  CHECK(std::filesystem::exists(folder.path() / foreign));
}

TEST_CASE("remove_leftovers: temporary files of killed processes are removed, other files are not") {
  const TemporaryFolder folder;
  const std::string dead = std::to_string(std::numeric_limits<pid_t>::max());  // beyond any system's limit
  const std::vector<std::string> gone{"out.tmp." + dead, "out.partial.tmp." + dead};
  const std::vector<std::string> kept{
      "out", "out.partial", "out.tmp." + std::to_string(::getpid()), "out.tmp.x" + dead, "other.tmp." + dead, "out.tmp."};
  for (const auto& name : gone) folder.write(name, "");
  for (const auto& name : kept) folder.write(name, "");
  remove_leftovers(folder.path() / "out");
  remove_leftovers(folder.path() / "out.partial");
  for (const auto& name : gone) CHECK(!std::filesystem::exists(folder.path() / name));
  for (const auto& name : kept) CHECK(std::filesystem::exists(folder.path() / name));

  std::filesystem::create_directories(folder.path() / "below");
  folder.write("below/deep.csv.tmp." + dead, "");
  folder.write("deep.csv.tmp." + dead + ".1", "");
  folder.write("notes.tmp." + dead + ".txt", "");  // somebody else's
  constexpr std::array<std::string_view, 2> kExtensions{".csv", ".json"};
  remove_leftovers_in(folder.path(), kExtensions);
  remove_leftovers_in(folder.path() / "nowhere", kExtensions);
  remove_leftovers(folder.path() / "nowhere" / "out");
  CHECK(std::filesystem::exists(folder.path() / "below" / ("deep.csv.tmp." + dead)));
  CHECK(!std::filesystem::exists(folder.path() / ("deep.csv.tmp." + dead + ".1")));
  CHECK(std::filesystem::exists(folder.path() / ("other.tmp." + dead)));
  CHECK(std::filesystem::exists(folder.path() / ("notes.tmp." + dead + ".txt")));
  CHECK(std::filesystem::exists(folder.path() / ("out.tmp.x" + dead)));
}
