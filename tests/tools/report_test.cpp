// ffmem report and ffmem show on a store that is written down.
#include <doctest/doctest.h>

#include <string>

#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tests/tools/small_store.hpp"
#include "tools/report/page.hpp"

using namespace ffmem;

namespace {

std::vector<std::string> report_command(const SmallStore& small) {
  return {"report", "--triggers", small.path("store"), "--values", small.path("values"), "-o", small.path("page.html")};
}

std::string report_page(const SmallStore& small) {
  small.write();
  output(report_command(small));
  return read_text_file(small.path("page.html"));
}

}  // namespace

TEST_CASE("ffmem report: the token that follows is marked by its id, and one without bytes is its number") {
  const std::string page = report_page(SmallStore());
  CHECK(contains(page, R"(<td class="next hit"><bdi>\xC3</bdi></td>)"));
  CHECK(contains(page, R"(<td class="next"><bdi>\xA9</bdi></td>)"));
  CHECK(contains(page, R"(<td class="next hit"><bdi>#0</bdi></td>)"));
  CHECK(contains(page, R"(<td class="next"><i>(end)</i></td>)"));
  CHECK(contains(page, "or the (end) of what was read of the sentence"));
}

TEST_CASE("ffmem report: a trigger of spaces alone shows, and the space before another is not marked") {
  tools::Page page;
  page.layers.resize(1);
  tools::PageMemory& memory = page.layers[0].memories.emplace_back();
  memory.examples.resize(2);
  memory.examples[0].before = memory.examples[1].before = "a";
  memory.examples[0].trigger = " ";
  memory.examples[0].next = "  ";
  memory.examples[1].trigger = " b";
  const std::string text = tools::render_page(page);
  CHECK(contains(text, "<bdi>a<mark>\u2423</mark></bdi>"));
  CHECK(contains(text, "<bdi>\u2423\u2423</bdi>"));
  CHECK(contains(text, "<bdi>a <mark>b</mark></bdi>"));
}

TEST_CASE("ffmem report and show: examples of the most negative coefficients are called so") {
  SmallStore small;
  CHECK_FALSE(contains(report_page(small), "most negative"));
  const std::vector<std::string> show{"show", small.path("store"), "0", "0"};
  CHECK_FALSE(contains(output(show), "most negative"));
  CHECK(contains(read_text_file(small.path("page.html")), "its value promotes "));
  small.negate();
  const std::string page = report_page(small);
  CHECK(contains(page, "on which its coefficient is most negative"));
  CHECK(contains(page, "for the most negative coefficients"));
  CHECK(contains(page, "its value, negated, promotes "));
  CHECK(contains(page, "Keys that were never negative"));
  CHECK(contains(output(show), "layer 0, unit 0: the most negative coefficients: "));
  CHECK(json_output({"show", small.path("store"), "0", "0", "--json"})["smallest"] == true);
}

TEST_CASE("ffmem report: memories with too few examples make no pattern, and a layer without any other says so") {
  SmallStore small;
  const std::string page = report_page(small);
  CHECK(contains(page, "keys with at least 2 examples"));
  CHECK(contains(page, "style=\"width:5.00em\"></span>50.0 %"));  // of both memories
  CHECK_FALSE(contains(page, "No memory of this layer"));

  small.make_empty(3);  // the second memory has one example
  const std::string one = report_page(small);
  CHECK(contains(one, "style=\"width:5.00em\"></span>50.0 %"));
  CHECK_FALSE(contains(one, "memory 1</h3>"));

  small.make_empty(1);
  const std::string none = report_page(small);
  CHECK(contains(none, "<p>No memory of this layer has 2 examples.</p>"));
  CHECK(contains(none, "<td>\u2013</td>"));
}

TEST_CASE("ffmem report: values agree among the memories whose best example has a next token") {
  SmallStore small;
  CHECK(contains(report_page(small), "<td><span class=\"bar\" style=\"width:10.00em\"></span>100.0 %</td>"));
  small.values.tokens[0] = 2;
  CHECK(contains(report_page(small), "<td><span class=\"bar\" style=\"width:10.00em\"></span>50.0 %</td>"));
  small.table.position[2] = 1;  // behind which there is none
  CHECK(contains(report_page(small), "<td><span class=\"bar\" style=\"width:0.00em\"></span>0.0 %</td>"));
}

TEST_CASE("ffmem report: a table of fewer values than the store has memories is an error") {
  SmallStore small;
  small.values.d_memory = 1;
  small.values.tokens.resize(1);
  small.values.probabilities.resize(1);
  small.write();
  const CommandResult result = ffmem_command(report_command(small));
  CHECK(result.exit_code == 1);
  CHECK(contains(result.err,
                 small.path("values") + ": expected the values of all 1 layers of 2, found 1 layers from 0 on, of 1"));
}

TEST_CASE(
    "ffmem report: a model that was searched as \".\" has its folder's name, and where that is not there its fingerprint") {
  SmallStore small;
  small.info.model = ".";
  CHECK(contains(report_page(small), "<h1>The memories of model 0123456789abcdef</h1>"));
  std::filesystem::create_directory(small.path("own-name"));
  small.folder.write("own-name/config.json", "{}");
  small.info.model = small.path("own-name") + "/.";
  CHECK(contains(report_page(small), "<h1>The memories of own-name</h1>"));
}

TEST_CASE("report: a memory with few examples fires on few sentences, or on few prefixes where each of them counts") {
  tools::Page page;
  page.top = 3;
  page.layers.resize(1);
  page.layers[0].memories.resize(1);
  page.layers[0].memories[0].n_examples = 2;
  CHECK(contains(tools::render_page(page), "(fewer than 3 sentences make it fire)"));
  page.every_prefix = true;
  CHECK(contains(tools::render_page(page), "(fewer than 3 prefixes make it fire)"));
}

TEST_CASE("report: examples of the most negative coefficients are called so") {
  tools::Page page;
  page.top = 3;
  page.layers.resize(1);
  page.layers[0].memories.resize(1);
  CHECK(contains(tools::render_page(page), "on which it fires most strongly"));
  page.smallest = true;
  const std::string text = tools::render_page(page);
  CHECK(contains(text, "on which its coefficient is most negative"));
  CHECK(contains(text, "(fewer than 3 sentences make it negative)"));
  CHECK(contains(text, "Never negative"));
  CHECK_FALSE(contains(text, "most strongly"));
}

TEST_CASE("report: a token without bytes is not taken for a sentence's end") {
  tools::Page page;
  page.layers.resize(1);
  page.layers[0].memories.resize(1);
  page.layers[0].memories[0].examples = {{.before = "a", .trigger = "b", .next = ""}};
  CHECK_FALSE(contains(tools::render_page(page), "<i>(end)</i>"));
  page.layers[0].memories[0].examples[0].next.reset();
  CHECK(contains(tools::render_page(page), "<i>(end)</i>"));
}
