// What `ffmem triggers --plan` says a search will take.
#include "tools/trigger_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "hooks/top_triggers.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command_output.hpp"
#include "tools/corpus.hpp"

using namespace ffmem;
using namespace ffmem::tools;
using Json = nlohmann::json;

namespace {

// The tiny model: 3 layers of 44 memories, 4 heads of 6, 64 tokens.
struct Search {
  Search() { model.add_tokenizer(64); }

  /// Runs of at most 16 tokens, of two sentences at most.
  std::vector<std::string> plan(const std::string& top) const {
    return {"triggers", model.path(), corpus, "--plan", "--top", top, "--context", "16", "--batch-tokens", "16"};
  }
  Json json(const std::string& top) const {
    std::vector<std::string> arguments = plan(top);
    arguments.emplace_back("--json");
    return json_output(arguments);
  }

  ModelFolder model;
  TemporaryFolder folder;
  std::string corpus = folder.write("corpus", "w5 w6 w7\nw8 w9\n").string();
};

std::uint64_t bytes(const Json& plan, const std::string& part) { return plan["memory_bytes"][part].get<std::uint64_t>(); }

std::uint64_t sum(const Json& plan, const std::vector<std::string>& parts) {
  std::uint64_t total = 0;
  for (const std::string& part : parts) total += bytes(plan, part);
  return total;
}

const std::vector<std::string> kAlways{"process", "weights_mapped", "weights_converted", "tokenizer", "table", "corpus_buffer"};

}  // namespace

TEST_CASE("ffmem triggers --plan: the parts are those of the model, its tokenizer and the search") {
  const Search search;
  const Json plan = search.json("5");
  CHECK(plan["keys"] == 3 * 44);
  CHECK(plan["corpus_files"] == 1);
  CHECK(plan["corpus_bytes"] == 15);
  CHECK(plan["memory_bytes"].size() == kAlways.size() + 4);
  CHECK(bytes(plan, "received_tables") == 0);  // of ranks alone

  const auto model = Model::load(search.model.path());
  CHECK(bytes(plan, "weights_mapped") == model->mapped_bytes());
  CHECK(bytes(plan, "weights_converted") == model->owned_bytes());
  CHECK(bytes(plan, "weights_mapped") > 0);
  CHECK(bytes(plan, "weights_converted") > 0);
  CHECK(bytes(plan, "table") == TriggerTable::bytes(3, 44, 5) + TopTriggers::scratch_bytes(3, 44));
  CHECK(bytes(plan, "table") > 3 * 44 * 5 * (4 + 8 + 4));
  CHECK(bytes(plan, "corpus_buffer") == kCorpusBufferBytes);
  CHECK(bytes(plan, "sentence_index") == 3 * 44 * 5 * 2 * 8);
  const auto session =
      Session::memory(model->config(), {.max_sequences = 2, .context = 16, .max_batch_tokens = 16, .keep_cache = false});
  CHECK(bytes(plan, "kv_cache") == session.kv_cache_bytes);
  CHECK(bytes(plan, "workspace") == session.workspace_bytes);
  // Measured constants: no more than their order.
  CHECK(bytes(plan, "process") > std::uint64_t{10} << 20);
  CHECK(bytes(plan, "tokenizer") >= 64 * 100);
}

TEST_CASE("ffmem triggers --plan: the peak is what is always there and the larger of searching and writing") {
  const Search search;
  const Json few = search.json("1");
  const Json many = search.json("1000");
  CHECK(sum(few, {"kv_cache", "workspace"}) > bytes(few, "sentence_index"));
  CHECK(few["peak_bytes"] == sum(few, kAlways) + sum(few, {"kv_cache", "workspace"}));
  CHECK(sum(many, {"kv_cache", "workspace"}) < bytes(many, "sentence_index"));
  CHECK(many["peak_bytes"] == sum(many, kAlways) + bytes(many, "sentence_index"));
}

TEST_CASE("ffmem triggers --plan: says whether OUT is the finished result of the search") {
  const Search search;
  const std::string out = (search.folder.path() / "out").string();
  const auto plan = [&](const std::string& top) {
    std::vector<std::string> arguments = search.plan(top);
    arguments.insert(arguments.end(), {"-o", out});
    return output(arguments);
  };
  CHECK(search.json("5")["done"] == false);
  CHECK_FALSE(contains(plan("5"), "done already"));
  output({"triggers", search.model.path(), search.corpus, "-o", out, "--top", "5", "--context", "16", "--quiet"});
  CHECK(contains(plan("5"), "15 bytes, done already\n"));
  CHECK_FALSE(contains(plan("6"), "done already"));
}

TEST_CASE("ffmem triggers --plan: for people the same figures in MiB, and nothing is searched or written") {
  const Search search;
  const Json plan = search.json("1000");
  const std::string text = output(search.plan("1000"));
  CHECK(text.starts_with("work: 132 keys over 1 corpus file of 15 bytes\nmemory:\n"));
  const auto line = [&](std::uint64_t n_bytes, const std::string& what) {
    const std::string expected = fmt::format("  {:9.1f} MiB  {}", static_cast<double>(n_bytes) / (1 << 20), what);
    CHECK_MESSAGE(contains(text, expected), text, " has no ", expected);
  };
  line(bytes(plan, "process"), "program and libraries\n");
  line(bytes(plan, "weights_mapped"), "weights, mapped from files\n");
  line(bytes(plan, "weights_converted"), "weights, copies");
  line(bytes(plan, "tokenizer"), "tokenizer\n");
  line(bytes(plan, "table"), "trigger table\n");
  line(bytes(plan, "corpus_buffer"), "corpus buffer\n");
  line(bytes(plan, "kv_cache"), "keys and values of attention");
  line(bytes(plan, "workspace"), "workspace");
  line(bytes(plan, "sentence_index"), "index of the sentences named");
  line(plan["peak_bytes"].get<std::uint64_t>(), "peak\n");
  CHECK(std::count(text.begin(), text.end(), '\n') == 2 + 9 + 1);
  CHECK(std::distance(std::filesystem::directory_iterator(search.folder.path()), {}) == 1);  // the corpus
}
