#include "tools/trigger_search.hpp"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <array>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "hooks/record.hpp"
#include "loaders/mapped_file.hpp"
#include "ops/threads.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"
#include "tools/commands.hpp"
#include "tools/fingerprint.hpp"
#include "tools/sentence_batches.hpp"
#include "tools/store_model.hpp"
#include "tools/trigger_store.hpp"

using namespace ffmem;
using namespace ffmem::tools;

namespace {

const std::string kCorpus =
    "= Rain =\n\nIt rained all day. The river rose by two metres , and the bridge was closed.\n"
    "She wrote a letter to the king. He never answered it. The king died in 1432.\n"
    "It rained all day.\n = Music = \nThe band released its second album in March 2004 .\n"
    "Critics praised the guitar work; the singer left the band soon after. The end\n";

struct Demo {
  std::shared_ptr<const Model> model = Model::load(FFMEM_DEMO_MODEL);
  std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(FFMEM_DEMO_MODEL);
};

const Demo& demo() {
  static const Demo loaded;
  return loaded;
}

struct Search {
  TemporaryFolder folder;
  std::vector<std::filesystem::path> files{folder.write("corpus", kCorpus)};
  TriggerInfo info = [this] {
    TriggerInfo i;
    i.model = "demo";
    i.corpus_fingerprint = fingerprint(files);
    i.top = 3;
    i.context = 12;
    i.prefix_token = 0;
    return i;
  }();
  TriggerSearchOptions options{.batch_tokens = 64,
                               .n_threads = 1,
                               .checkpoint = folder.path() / "partial",
                               .checkpoint_seconds = 1e9,
                               .stop = {},
                               .progress = {}};

  TriggerSearch start(std::optional<TriggerCheckpoint> from = std::nullopt) const {
    return TriggerSearch(demo().model, demo().tokenizer, files, info, std::move(from));
  }

  std::string result(const TriggerSearch& search) const {
    search.write(folder.path() / "out", {});
    return read_text_file(folder.path() / "out");
  }

  std::string run() const {
    TriggerSearch search = start();
    search.run(options);
    return result(search);
  }
};

/// Each key's examples by definition: every sentence alone, every position's coefficients, sorted.
TriggerTable by_definition(const Search& search) {
  const ModelConfig& config = demo().model->config();
  TriggerTable table(config.n_layers, config.d_memory, search.info.top);
  Session session(demo().model, {.context = search.info.context, .keep_cache = false, .n_threads = 1});
  SentenceReader reader(search.files, search.info.sentences);
  for (std::int64_t s = 0; const auto text = reader.next(); ++s) {
    std::vector<TokenId> tokens{0};
    for (const TokenId token : demo().tokenizer->encode(*text)) tokens.push_back(token);
    tokens.resize(std::min(tokens.size(), search.info.context));
    Record record({.points = {Point::coefficients}});
    const std::array<Hook*, 1> hooks{&record};
    session.run(tokens, LogitsRows::none, hooks);
    TriggerTable one(config.n_layers, config.d_memory, search.info.top);
    for (std::size_t key = 0; key < config.n_layers * config.d_memory; ++key) {
      const auto rows = record.at(Point::coefficients, key / config.d_memory);
      for (std::size_t row = 1; row < rows.rows; ++row) {
        const float c = rows.row(row)[key % config.d_memory];
        float& best = one.coefficient[key * one.t];
        if (c <= best) continue;
        best = c;
        one.sentence[key * one.t] = s;
        one.position[key * one.t] = static_cast<std::int32_t>(row - 1);
      }
    }
    table = merge(table, one, false);
  }
  return table;
}

void run_command(const std::vector<std::string>& arguments) {
  CLI::App app;
  add_triggers(app);
  add_merge(app);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  app.parse(reversed);
}

}  // namespace

TEST_CASE("trigger_search: finds what running every sentence alone and sorting finds") {
  const Search search;
  TriggerSearch found = search.start();
  found.run(search.options);
  const TriggerTable expected = by_definition(search);
  CHECK(found.table().coefficient == expected.coefficient);
  CHECK(found.table().sentence == expected.sentence);
  CHECK(found.table().position == expected.position);
  CHECK(found.info().counts.n_sentences == 11);
  CHECK(found.info().counts.n_cut == 2);
}

TEST_CASE("trigger_search: batches and threads do not show in the file") {
  Search search;
  const std::string expected = search.run();
  for (const std::size_t batch_tokens : {1, 30, 1000}) {
    search.options.batch_tokens = batch_tokens;
    search.options.n_threads = batch_tokens == 30 ? 3 : 1;
    CHECK(search.run() == expected);
  }
}

TEST_CASE("sentence_batches: batches do not show in where the corpus is left when there are enough tokens") {
  const Search search;
  for (const std::size_t enough : {1, 20, 35, 1000}) {
    CAPTURE(enough);
    std::uint64_t n_tokens = 0;
    std::uint64_t n_before_last = 0;
    std::vector<std::uint64_t> totals;
    for (const std::size_t max_tokens : {1, 16, 40, 1000}) {
      SentenceBatches batches(search.files, demo().tokenizer, search.info,
                              {.max_tokens = max_tokens, .counts = {}, .enough_tokens = enough});
      SentenceBatch batch;
      while (batches.next(batch)) {
        if (max_tokens == 1) n_before_last = std::exchange(n_tokens, batch.counts.n_tokens);
      }
      totals.push_back(batch.counts.n_tokens);
    }
    for (const std::uint64_t total : totals) CHECK(total == n_tokens);
    CHECK(n_before_last < enough);
    if (enough < 1000) CHECK(n_tokens >= enough);
  }
}

TEST_CASE("trigger_search: a search that was stopped anywhere goes on to the same bytes") {
  Search search;
  search.options.batch_tokens = 16;
  const std::string expected = search.run();
  for (int n_batches = 1; n_batches <= 6; ++n_batches) {
    CAPTURE(n_batches);
    int n_left = n_batches;
    search.options.stop = [&] { return --n_left == 0; };
    TriggerSearch first = search.start();
    const Error error = thrown([&] { first.run(search.options); });
    REQUIRE(error.code() == ErrorCode::interrupted);
    CHECK(contains(error.what(), search.options.checkpoint.string()));
    auto from = read_checkpoint(search.options.checkpoint, search.info, first.table().n_layers, first.table().d_memory);
    REQUIRE(from);
    search.options.stop = {};
    search.options.batch_tokens = 40;  // may change
    TriggerSearch second = search.start(std::move(from));
    second.run(search.options);
    search.options.batch_tokens = 16;
    CHECK(search.result(second) == expected);
  }
}

TEST_CASE("trigger_search: without a prefix token the first token's own prefix counts, other options change what is found") {
  Search search;
  const std::string expected = search.run();
  search.info.every_prefix = true;
  const std::string every = search.run();
  CHECK(every != expected);
  search.info.every_prefix = false;
  search.info.prefix_token.reset();
  CHECK(search.run() != expected);
  search.info.prefix_token = 0;
  search.info.max_sentences = 2;
  TriggerSearch two = search.start();
  two.run(search.options);
  CHECK(two.info().counts.n_sentences == 2);
  CHECK(named_sentences(two.table()) == std::vector<std::int64_t>{0, 1});
}

TEST_CASE("trigger_search: an empty corpus is an error, a shard without sentences is not") {
  Search search;
  search.info.shards = ShardSet::parse("20/21");
  TriggerSearch shard = search.start();
  shard.run(search.options);
  CHECK(shard.info().counts.n_sentences == 0);
  CHECK(keys_with_fewer_than(1, shard.table()) == shard.table().n_layers * shard.table().d_memory);
  search.files = {search.folder.write("empty", " \n\n")};
  TriggerSearch empty = search.start();
  CHECK(thrown([&] { empty.run(search.options); }).code() == ErrorCode::corpus_empty);
}

TEST_CASE("trigger_search: a corpus that shrinks before the result is written is an error") {
  const Search search;
  TriggerSearch found = search.start();
  found.run(search.options);
  search.folder.write("corpus", "One.");
  CHECK(thrown([&] { found.write(search.folder.path() / "out", {}); }).code() == ErrorCode::store_invalid);
  CHECK(!std::filesystem::exists(search.folder.path() / "out"));
}

TEST_CASE("trigger_search: a corpus whose sentences are others before the result is written is an error") {
  const Search search;
  TriggerSearch found = search.start();
  found.run(search.options);
  std::string other = kCorpus;
  other.replace(other.find("1432"), 4, "1433");
  search.folder.write("corpus", other);
  const Error error = thrown([&] { found.write(search.folder.path() / "out", {}); });
  CHECK(error.code() == ErrorCode::store_invalid);
  CHECK_MESSAGE(contains(error.what(), "changed during the search"), error.what());
  CHECK(!std::filesystem::exists(search.folder.path() / "out"));
}

TEST_CASE("merge: all shards give the unsharded file, in any order and by way of partial merges") {
  const TemporaryFolder folder;
  const std::string corpus = folder.write("corpus", kCorpus).string();
  const auto out = [&](const std::string& name) { return (folder.path() / name).string(); };
  const auto triggers = [&](const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"triggers", FFMEM_DEMO_MODEL, corpus, "-o", out(name), "--quiet", "--top", "4"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    run_command(arguments);
    CHECK(!std::filesystem::exists(out(name) + ".partial"));
  };
  triggers("whole", {});
  for (const std::string i : {"0", "1", "2"}) triggers(i, {"--shard", i + "/3"});
  const std::string expected = read_text_file(out("whole"));

  run_command({"merge", out("0"), out("1"), out("2"), "-o", out("merged")});
  CHECK(read_text_file(out("merged")) == expected);
  run_command({"merge", out("2"), out("0"), "-o", out("part")});
  CHECK(TriggerStore(out("part")).info().shards.text() == "0,2/3");
  run_command({"merge", out("1"), out("part"), "-o", out("merged")});
  CHECK(read_text_file(out("merged")) == expected);

  const auto refused = [&](const std::vector<std::string>& stores) {
    std::vector<std::string> arguments{"merge", "-o", out("bad")};
    arguments.insert(arguments.end(), stores.begin(), stores.end());
    const Error error = thrown([&] { run_command(arguments); });
    CHECK(error.code() == ErrorCode::store_invalid);
    return std::string(error.what());
  };
  CHECK(contains(refused({out("0"), out("0")}), "shard 0 of 3 is there twice"));
  CHECK(contains(refused({out("part"), out("2")}), "shard 2 of 3 is there twice"));
  CHECK(contains(refused({out("0"), out("whole")}), "shard of 3"));
  triggers("other", {"--shard", "1/3", "--every-prefix"});
  CHECK(contains(refused({out("0"), out("other")}), "every_prefix"));
}

TEST_CASE("triggers: the same command in another folder gives the same bytes, and the model is found where it was given") {
  const auto home = std::filesystem::current_path();
  const TemporaryFolder here;
  const TemporaryFolder there;
  for (const auto& folder : {here.path(), there.path()}) {
    std::filesystem::create_directory(folder / "models");
    std::filesystem::create_directory_symlink(FFMEM_DEMO_MODEL, folder / "models" / "demo");
    std::ofstream(folder / "text") << kCorpus;
    std::filesystem::current_path(folder);
    run_command({"triggers", folder == here.path() ? "models/demo" : "./models//demo/", "text", "-o", "out", "--quiet"});
  }
  CHECK(read_text_file("out") == read_text_file(here.path() / "out"));
  const TriggerStore store("out");
  CHECK(store.info().model == "models/demo");
  CHECK(store.info().corpus == std::vector<std::string>{"text"});
  CHECK(find_model_folder({}, store) == "models/demo");
  CHECK_NOTHROW(load_model_of(store, {}));
  std::filesystem::current_path(home);
  CHECK(find_model_folder({}, store).empty());
  CHECK(find_model_folder("elsewhere", store) == "elsewhere");
}
