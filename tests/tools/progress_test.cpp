// What a person sees on a terminal while a command works.
#include "tools/progress.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"

using namespace ffmem;

namespace {

/// What a command that ends well says on a terminal.
std::string shown(const std::vector<std::string>& arguments) {
  const CommandResult result = ffmem_command(arguments, {.stderr_terminal = true});
  CHECK_MESSAGE(result.exit_code == 0, result.err);
  return result.err;
}

}  // namespace

TEST_CASE("progress: with --max-sentences it is of those sentences, else of the corpus, and ends at all of it" *
          doctest::skip(!terminals_exist())) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "The river rose by " + std::to_string(i) + " metres .\n";
  const std::string corpus = folder.write("corpus", text).string();
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };

  const std::string whole = shown({"triggers", kDemo, corpus, "-o", path("whole"), "--top", "2"});
  CHECK_MESSAGE(contains(whole, "triggers: 100.0 %"), whole);
  CHECK_MESSAGE(contains(whole, "kB/s"), whole);
  const std::string first = shown({"triggers", kDemo, corpus, "-o", path("first"), "--top", "2", "--max-sentences", "5"});
  CHECK_MESSAGE(contains(first, "triggers: 100.0 %"), first);
  CHECK_MESSAGE(contains(first, "sentences/s"), first);

  std::vector<std::string> experiment{"experiment", "value-agreement", kDemo, "--train", corpus, "-o", path("out")};
  CHECK(contains(shown(experiment), "token counts: 100.0 %"));
  experiment.insert(experiment.end(), {"--max-sentences", "5"});
  const std::string counted = shown(experiment);
  CHECK_MESSAGE(contains(counted, "token counts: 100.0 %"), counted);
}
