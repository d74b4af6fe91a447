#include "tools/memory_pages/memory_pages.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/small_store.hpp"

using namespace ffmem;
using namespace ffmem::tools;
using Json = nlohmann::json;

namespace {

/// Writes the pages into "pages".
void write_pages(const SmallStore& small) {
  small.write();
  const TriggerStore store(small.path("store"));
  const NearestValues nearest;
  const CoefficientHistogram histogram;
  write_memory_pages(small.path("pages"), {.triggers = store,
                                           .values = small.values,
                                           .nearest = nearest,
                                           .histogram = histogram,
                                           .model_name = "small",
                                           .about = {{"Weights", "int4"}}});
}

/// The arguments of the call that a data file is.
Json data(const SmallStore& small, const std::string& file) {
  const std::string text = read_text_file(small.path("pages/" + file));
  const std::size_t begin = text.find('(') + 1;
  return Json::parse("[" + text.substr(begin, text.rfind(')') - begin) + "]");
}

}  // namespace

TEST_CASE("memory pages: the value's first token is marked by its id, whatever texts are shown for others") {
  const SmallStore small;
  write_pages(small);
  const Json examples = data(small, "block-0.js")[1][0][2];
  REQUIRE(examples.size() == 2);
  CHECK(examples[0][3] == "\\xC3");  // bytes that are no character
  CHECK(examples[1][3] == "\\xA9");
  CHECK(examples[0][4] == 1);
  CHECK(examples[1][4] == 0);
}

TEST_CASE("memory pages: a token without bytes is shown by its number, which is not a sentence's end") {
  const SmallStore small;
  write_pages(small);
  const Json memory = data(small, "block-0.js")[1][1];
  CHECK(memory[2][0][3] == "#0");
  CHECK(memory[2][1][3].is_null());
  CHECK(memory[3][0][0] == "#0");
}

TEST_CASE("memory pages: they say whether the examples are of the most negative coefficients") {
  SmallStore small;
  write_pages(small);
  CHECK(contains(read_text_file(small.path("pages/index.html")), "\"smallest\": false"));
  small.negate();
  write_pages(small);
  const std::string page = read_text_file(small.path("pages/index.html"));
  CHECK(contains(page, "\"smallest\": true"));
  CHECK(contains(page, "<tr><td>Weights</td><td>int4</td></tr>"));
}

TEST_CASE("memory pages: those of a larger model that were there go, other files stay") {
  const SmallStore small;
  std::filesystem::create_directory(small.path("pages"));
  for (const std::string name : {"pages/block-1.js", "pages/block-255.js", "pages/block-x.js"}) small.folder.write(name, "");
  write_pages(small);
  CHECK(std::filesystem::exists(small.path("pages/block-0.js")));
  CHECK_FALSE(std::filesystem::exists(small.path("pages/block-1.js")));
  CHECK_FALSE(std::filesystem::exists(small.path("pages/block-255.js")));
  CHECK(std::filesystem::exists(small.path("pages/block-x.js")));
}
